"""Frames out of clips and into them: MP4 and the like through PyAV, GIF and WebP through Pillow.

Frames are uint8 sRGB, straight alpha where a clip has alpha. A file is judged by its first bytes,
never by its name, and only the containers named here are opened: FFmpeg would otherwise follow
playlists to other files and hosts.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange, Colorspace
from jaxtyping import UInt8
from PIL import Image, ImageSequence, UnidentifiedImageError

from threed.colour_transfer import is_foreign, note
from threed.errors import RequestError
from threed.frame_choice import FrameChoice
from threed.picture_file import straight_srgb
from threed.video_frame import frame_pixels, pixel_aspect, turned

MAX_FRAMES = 48
MAX_SIDE = 1024
MAX_SOURCE_SIDE = 8192
MAX_SECONDS = 300.0
MAX_SOURCE_FRAMES = 18_000
MAX_PIXELS = 24_000_000_000
"""Of all frames together: ten minutes of a laptop's decoding, not a day's."""
MIN_SHOWN_SIDE = 256
"""Smaller clips are enlarged when written, for players show a 64-pixel video as a stamp."""
DECODING_ERRORS = (
    av.FFmpegError,
    OSError,
    ValueError,
    EOFError,
    SyntaxError,
    Image.DecompressionBombError,
)
KNOWN = "mp4, mov, webm, mkv, avi, gif and webp"


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Frames of a clip in order, evenly sampled and reduced."""

    frames: UInt8[np.ndarray, "frame height width 4"]
    """sRGB with straight alpha; alpha is 255 everywhere in a clip that has none."""
    has_alpha: bool
    """Whether it is transparent anywhere; `threed.clip_alpha` judges if that outlines an object."""
    num_source_frames: int
    """Frames that the file shows."""
    indices: list[int]
    """Which of these the clip's frames are."""
    notes: tuple[str, ...] = ()
    """What was done to its colours, a sentence each, for the user."""


def write_mp4(
    path: Path,
    frames: UInt8[np.ndarray, "frame height width 3"],
    fps: int = 12,
    comment: str = "",
) -> None:
    """Write an H.264 MP4 that plays everywhere: yuv420p, even sides, index in front.

    The comment goes into the file's metadata, where players and `ffprobe` show it.

    Small frames are enlarged by a whole factor, at least to `MIN_SHOWN_SIDE`; an odd side grows by
    less than one pixel in a thousand or by one, so that the centre stays the centre.
    """
    height, width = frames.shape[1:3]
    factor = max(1, -(-MIN_SHOWN_SIDE // min(height, width)))
    size = tuple(side * factor + side * factor % 2 for side in (width, height))
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        if comment:
            container.metadata["comment"] = comment
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        # Tagged, since untagged video is decoded by guess and colours shift between players.
        stream.codec_context.colorspace = Colorspace.ITU709
        stream.codec_context.color_primaries = 1
        stream.codec_context.color_trc = 1
        stream.codec_context.color_range = ColorRange.MPEG
        stream.options = {"crf": "14", "preset": "medium"}
        for frame in frames:
            if size != (width, height):
                image = Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS)
                frame = np.asarray(image)
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(
                format="yuv420p",
                src_colorspace=Colorspace.ITU709,
                dst_colorspace=Colorspace.ITU709,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
            )
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def read_clip(path: Path | str, max_frames: int = MAX_FRAMES, max_side: int = MAX_SIDE) -> Clip:
    """Return at most `max_frames` frames of a clip, evenly spaced but for sharper neighbours.

    Frames are counted, not timed, for a turntable's frames are equal steps. They are reduced as
    they are read: memory is bounded by the result and a few source frames, however long it is.
    Their pixels become square and their colours sRGB, whatever the file has.

    Raises:
        RequestError: Missing, empty, unreadable, too large, too long, or no video at all.
    """
    path = Path(path)
    container = _container_of(path)
    notes = ()
    try:
        if container == "image":
            count, frames = _read_animation(path, max_frames, max_side)
        else:
            count, frames, notes = _read_video(path, container, max_frames, max_side)
    except RequestError:
        raise
    except DECODING_ERRORS as error:
        raise RequestError(
            f"{path} cannot be decoded, it is damaged or cut short: {error}"
        ) from error
    if not frames.indices:
        raise RequestError(f"{path} holds no video frames")
    return Clip(
        frames=np.stack(frames.frames),
        has_alpha=has_holes(frames.frames),
        num_source_frames=count,
        indices=frames.indices,
        notes=notes,
    )


def clip_extent(path: Path) -> tuple[int, int, int, float]:
    """Return a clip's width, height, number of frames and seconds (0 where nothing says).

    Nothing is decoded. Raises what `read_clip` raises, and `DECODING_ERRORS`.
    """
    container = _container_of(path)
    if container != "image":
        return _read_packets(path, container)
    with Image.open(path, formats=("GIF", "WEBP")) as image:
        _check_extent(path, image.width, image.height, 0.0, 0)
        count = getattr(image, "n_frames", 1)
        _check_extent(path, image.width, image.height, 0.0, count)
        return image.width, image.height, count, 0.0


def _container_of(path: Path) -> str:
    """Return FFmpeg's name of the container, or `image` for what Pillow reads."""
    if path.is_dir():
        raise RequestError(f"{path} is a folder, not a clip")
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except FileNotFoundError as error:
        raise RequestError(f"there is no file at {path}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RequestError(f"{path} cannot be read: {reason}") from error
    if not head:
        raise RequestError(f"{path} is an empty file")
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "mov"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "avi"
    if head.startswith((b"GIF87a", b"GIF89a")) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "image"
    if head.startswith((b"\x89PNG", b"\xff\xd8")):
        raise RequestError(f"{path} is a single picture; a clip is needed ({KNOWN})")
    raise RequestError(f"{path} is not a clip of a known kind; known are {KNOWN}")


def _check_extent(path: Path, width: int, height: int, seconds: float, count: int) -> None:
    if max(width, height) > MAX_SOURCE_SIDE or min(width, height) < 1:
        raise RequestError(
            f"{path} has frames of {width} x {height} pixels; at most {MAX_SOURCE_SIDE} a side"
        )
    if seconds > MAX_SECONDS or count > MAX_SOURCE_FRAMES:
        length = f"{seconds / 60:.0f} minutes" if seconds > MAX_SECONDS else f"{count} frames"
        raise RequestError(
            f"{path} is {length} long; one turn about an object, at most "
            f"{MAX_SECONDS / 60:.0f} minutes, is needed: cut it"
        )
    pixels = width * height * count
    if pixels > MAX_PIXELS:
        raise RequestError(
            f"{path} has {pixels / 1e9:.0f} billion pixels; at most {MAX_PIXELS / 1e9:.0f} are "
            "allowed: make it smaller or shorter"
        )


def reduced_size(width: int, height: int, max_side: int) -> tuple[int, int]:
    """Return width and height brought down so that the longer is at most `max_side`."""
    scale = min(1.0, max_side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _read_video(
    path: Path, container_format: str, max_frames: int, max_side: int
) -> tuple[int, FrameChoice, tuple[str, ...]]:
    _, _, count, _ = _read_packets(path, container_format)
    choice = FrameChoice(count, max_frames)
    shape, notes = None, ()
    with _open(path, container_format) as container:
        aspect = pixel_aspect(container.streams.video[0])
        for index, frame in enumerate(_decode(container)):
            if not choice.wants(index):
                continue
            size = reduced_size(max(1, round(frame.width * aspect)), frame.height, max_side)
            picture = turned(frame_pixels(frame, size), frame.rotation)
            if is_foreign(frame.color_trc, frame.color_primaries):
                notes = (note(frame.color_trc),)
            shape = shape or picture.shape
            if picture.shape != shape:
                raise RequestError(f"{path} changes its frame size midway")
            choice.offer(index, picture)
    return count, choice, notes


def film_pictures(path: Path) -> Iterator[Image.Image]:
    """Yield the frames of an MP4 that `write_mp4` wrote, one after another.

    Raises:
        RequestError: It is damaged.
    """
    try:
        with _open(path, "mp4") as container:
            for frame in container.decode(container.streams.video[0]):
                yield frame.to_image()
    except DECODING_ERRORS as error:
        raise RequestError(f"{path} cannot be decoded: {error}") from error


def _open(path: Path, container_format: str) -> InputContainer:
    container = av.open(str(path), format=container_format, options={"protocol_whitelist": "file"})
    if not container.streams.video:
        container.close()
        raise RequestError(f"{path} holds no video frames")
    return container


def _read_packets(path: Path, container_format: str) -> tuple[int, int, int, float]:
    """Return width, height, frames and seconds by reading packets, which decodes nothing."""
    with _open(path, container_format) as container:
        stream = container.streams.video[0]
        seconds = _told_seconds(container)
        _check_extent(path, stream.width, stream.height, seconds, stream.frames)
        count = hidden = 0
        # What was cut out of a longer film may go on counting from that film's beginning.
        first, last = math.inf, -math.inf
        for packet in container.demux(stream):
            count += packet.size > 0
            # What an edit list hides costs its decoding, and is never shown.
            hidden += packet.size > 0 and packet.is_discard
            if packet.pts is not None and packet.time_base is not None and not packet.is_discard:
                at = float(packet.pts * packet.time_base)
                first, last = min(first, at), max(last, at)
                seconds = max(seconds, last - first)
            if count % 500 == 0:
                _check_extent(path, stream.width, stream.height, seconds, count)
        _check_extent(path, stream.width, stream.height, seconds, count)
        return stream.width, stream.height, count - hidden, seconds


def _told_seconds(container: InputContainer) -> float:
    """Return a container's length by its header, 0 where that says nothing.

    Matroska's may count from time zero: by the header alone the lesser of both is taken for true,
    and packets tell whether it is.
    """
    duration, start = container.duration or 0, container.start_time or 0
    if container.format.name.startswith("matroska") and 0 < start < duration:
        duration -= start
    return duration / av.time_base


def _decode(container: InputContainer) -> Iterator[av.VideoFrame]:
    stream = container.streams.video[0]
    # FFmpeg's own VP8 and VP9 decoders drop the alpha plane that libvpx keeps.
    alpha_decoder = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.name)
    if alpha_decoder is None or "alpha_mode" not in {key.lower() for key in stream.metadata}:
        stream.thread_count = 2
        yield from container.decode(stream)
        return
    decoder = av.CodecContext.create(alpha_decoder, "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.extradata = stream.codec_context.extradata
    for packet in container.demux(stream):
        yield from decoder.decode(packet if packet.size else None)


def has_holes(frames: list[np.ndarray]) -> bool:
    """Many an exporter writes an alpha channel that is full everywhere: that says nothing."""
    return any(bool((frame[..., 3] < 128).any()) for frame in frames)


def _read_animation(path: Path, max_frames: int, max_side: int) -> tuple[int, FrameChoice]:
    try:
        image = Image.open(path, formats=("GIF", "WEBP"))
    except UnidentifiedImageError as error:
        raise RequestError(f"{path} cannot be decoded, it is damaged or cut short") from error
    with image:
        _check_extent(path, image.width, image.height, 0.0, 0)
        count = getattr(image, "n_frames", 1)
        _check_extent(path, image.width, image.height, 0.0, count)
        choice = FrameChoice(count, max_frames)
        size = reduced_size(image.width, image.height, max_side)
        for index, frame in enumerate(ImageSequence.Iterator(image)):
            if choice.wants(index):
                # Resized premultiplied, which Pillow does by its "a" modes.
                small = straight_srgb(frame).convert("RGBa").resize(size, Image.Resampling.HAMMING)
                choice.offer(index, np.array(small.convert("RGBA")))
    return count, choice
