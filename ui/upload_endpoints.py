"""What the endpoints do that take a file: a clip or a picture of the caller's own.

Served and documented as those in `ui.endpoints`.
"""

from pathlib import Path

from pipelines.errors import RequestError
from pipelines.models.catalogue import MODELS
from pipelines.request import GenerationRequest
from ui.answers import DEFAULT, degrees, real, session_of, standing_of, whole
from ui.desk import Desk
from ui.uploads import (
    CLIP_TITLE,
    PICTURE_TITLE,
    check_clip,
    check_picture,
    file_title,
    forget_upload,
)


class UploadEndpoints:
    """What each endpoint that takes a file does."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def video_to_3d(
        self,
        clip: str | None,
        name: str | None,
        elevation_deg: str | None,
        fov_deg: float | None,
        texture_size: float | None,
        max_faces: float | None,
        key: str | None,
        max_mb: float | None = 0.0,
    ) -> dict:
        """Hand in a job that makes a textured 3D mesh of a clip that circles a still object.

        Returns at once with the job's id; ask `status` until its state is done, then `result`.

        Args:
            clip: The clip itself (mp4, mov, webm, mkv, avi, gif or webp): whole turns about one
                object that stands still, with alpha or before a plain background. Addresses are
                not fetched.
            name: What to call it.
            elevation_deg: Height of the camera above the object's middle in degrees, or "measure".
            fov_deg: Vertical field of view of the camera in degrees; 0 is measured.
            texture_size: Width and height of the texture: 512, 1024, 2048 or 4096.
            max_faces: The mesh has at most so many triangles.
            key: The key from an earlier call; empty: a new one is made.
            max_mb: Megabytes that the mesh's file may have; 0 is no limit.
        """
        if clip is None:
            raise RequestError("there is no clip; hand in a file")
        path = Path(clip)
        try:
            request = GenerationRequest(
                prompt=name or CLIP_TITLE,
                clip=check_clip(path),
                clip_elevation_deg=degrees(elevation_deg),
                clip_fov_deg=real(fov_deg) if fov_deg else None,
                texture_size=whole(texture_size, DEFAULT.texture_size),
                max_faces=whole(max_faces, DEFAULT.max_faces),
                max_mb=real(max_mb) or None,
            )
            session = session_of(self.desk, key)
            return standing_of(self.desk, self.desk.submit(request, session, path), session)
        finally:
            forget_upload(path)

    def picture_to_3d(
        self,
        picture: str | None,
        prompt: str | None,
        seed: float | None,
        model: str | None,
        elevation_deg: float | None,
        num_frames: float | None,
        num_steps: float | None,
        guidance_scale: float | None,
        texture_size: float | None,
        max_faces: float | None,
        video_only: bool | None,
        key: str | None,
        max_mb: float | None = 0.0,
    ) -> dict:
        """Hand in a job that makes an orbit video, and a textured 3D mesh, of what a picture shows.

        Returns at once with the job's id; ask `status` until its state is done, then `result`.

        Args:
            picture: The picture itself (PNG, JPEG or WebP): one whole object, with alpha or before
                a plain background. Addresses are not fetched.
            prompt: What it is, in a few words; empty: the file's name is its title, and no help.
            seed: The only source of chance; the same seed and settings give the same result.
            model: One that `models` lists with `picture`; empty: the first of these.
            elevation_deg: Height of the picture's camera above the horizon in degrees, which is
                the height of the video's cameras too.
            num_frames: Frames of the video, one full turn.
            num_steps: Denoising steps; 0 is the model's own number.
            guidance_scale: How strongly picture and words steer, 1 is off; 0 is the model's own.
            texture_size: Width and height of the texture: 512, 1024, 2048 or 4096.
            max_faces: The mesh has at most so many triangles.
            video_only: Stop when the video is made, without a mesh.
            key: The key from an earlier call; empty: a new one is made.
            max_mb: Megabytes that the mesh's file may have; 0 is no limit.
        """
        if picture is None:
            raise RequestError("there is no picture; hand in a file")
        path = Path(picture)
        try:
            takers = [card.name for card in MODELS if card.image and card.runnable()]
            request = GenerationRequest(
                prompt=(prompt or "").strip() or file_title(path, PICTURE_TITLE),
                picture=check_picture(path),
                seed=whole(seed, DEFAULT.seed),
                model=model or next(iter(takers), DEFAULT.model),
                elevation_deg=DEFAULT.elevation_deg
                if elevation_deg is None
                else real(elevation_deg),
                num_frames=whole(num_frames, DEFAULT.num_frames),
                num_steps=whole(num_steps, 0) or None,
                guidance_scale=real(guidance_scale) or None,
                texture_size=whole(texture_size, DEFAULT.texture_size),
                max_faces=whole(max_faces, DEFAULT.max_faces),
                video_only=bool(video_only),
                max_mb=real(max_mb) or None,
            )
            session = session_of(self.desk, key)
            return standing_of(self.desk, self.desk.submit(request, session, path), session)
        finally:
            forget_upload(path)
