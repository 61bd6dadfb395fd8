"""Errors and figures as words for a visitor."""

import html
import re

from pipelines.jobs.leases import LOST_MESSAGE
from pipelines.jobs.worker import APOLOGY, BROKEN, UNWRITTEN
from ui.tongues import Language, say

FIELD_LABELS = {
    "prompt": ("The prompt", "描述"),
    "seed": ("The seed", "种子"),
    "model": ("The model", "模型"),
    "num_frames": ("“Frames”", "“帧数”"),
    "size": ("“Frame size”", "“画面尺寸”"),
    "num_steps": ("“Steps”", "“步数”"),
    "guidance_scale": ("“Guidance”", "“引导强度”"),
    "elevation_deg": ("“Camera height”", "“相机高度”"),
    "camera": ("“Camera”", "“镜头”"),
    "clip_fov_deg": ("“Field of view”", "“相机视场角”"),
    "clip_elevation_deg": ("“Camera height”", "“相机高度”"),
    "texture_size": ("“Texture size”", "“贴图尺寸”"),
    "max_faces": ("“Most triangles”", "“三角形上限”"),
    "max_mb": ("“Most megabytes”", "“文件上限（MB）”"),
}
CHINESE_REFUSALS = (
    (r"(?:The )?prompt is empty.*", "请写明要做什么，例如 a wooden chair。"),
    (
        r"(\w+) is (.+); it must be a (?:whole )?number from (\S+) to (\S+)",
        "{0}为 {1}；应在 {2} 到 {3} 之间。",
    ),
    (
        r"camera is (.+); a mesh needs the 'orbit'.*",
        "“镜头”为 {0}；网格需要环绕镜头（orbit）。请改选环绕，或只生成视频。",
    ),
    (
        r"camera is (.+); what a picture shows is drawn with the camera 'orbit'",
        "“镜头”为 {0}；由图片生成时须用环绕镜头（orbit）。",
    ),
    (
        r"camera is (.+); the model .+ follows the orbit's alone.*",
        "“镜头”为 {0}；此模型只会环绕拍摄。",
    ),
    (
        r"no mesh can be made of this video: .+",
        "此视频无法生成网格：镜头或物体在动。请改选环绕镜头（orbit）重新生成。",
    ),
    (
        r"nothing stands out from the background.*",
        "背景中没有突出的物体；请使用物体没有的纯色作背景，或使用透明背景。",
    ),
    (
        r"no plain background is found.*",
        "物体周围没有纯色背景；请使用四周留白的单色背景，或透明背景。",
    ),
    (
        r"the object reaches over the picture's edge.*",
        "物体超出了图片边缘；请显示整个物体，四周留出空间。",
    ),
    (
        r"the object fills the picture.*",
        "物体占满了图片；背景须为透明，或为四周留白的纯色。",
    ),
    (r"the picture shows more than one object.*", "图片中不止一个物体；请一次只放一个。"),
    (r"the file is no picture.*", "这不是可用的图片；请使用 PNG、JPEG 或 WebP。"),
    (r"the picture has (.+) pixels; at least (\d+).*", "图片为 {0} 像素；每边至少 {1} 像素。"),
    (r"(\w+) is (.+); the model .+ makes at most (\d+)", "{0}为 {1}；此模型最多 {2}。"),
    (r"(\w+) has (\d+) characters; at most (\d+) are allowed", "{0}有 {1} 个字符；最多 {2} 个。"),
    (
        r"(\d+) of your jobs wait or run already.* (\d+) are allowed at once.*",
        "你已有 {0} 个任务在排队或运行，最多同时 {1} 个；请等待或取消一个。",
    ),
    (
        r"these are (\d+) videos, (\d+) of each of (\d+) lines; at most (\d+).*",
        "共 {0} 个视频（{2} 行，每行 {1} 个）；一次最多 {3} 个。",
    ),
    (
        r"(\d+) jobs at once are allowed from one network address.*",
        "每个网络地址最多同时 {0} 个任务；请等部分任务完成后再试。",
    ),
    (r"(\d+) jobs wait already.*", "已有 {0} 个任务在排队，队列已满；请稍后再试。"),
    (
        r"(\d+) jobs came from you within the hour and (\d+) are allowed.*",
        "你在一小时内已提交 {0} 个任务，最多 {1} 个；请稍后再试。",
    ),
    (
        r"(\d+) jobs came from your network address within the hour and (\d+) are allowed.*",
        "你的网络地址在一小时内已提交 {0} 个任务，最多 {1} 个；请稍后再试。",
    ),
    (
        r"this needs about (\S+) GiB of memory and the server has ([\d.]+);.*",
        "这大约需要 {0} GiB 内存，而服务器只有 {1} GiB；请减少帧数或改用较小的贴图。",
    ),
    (r"this session is not known.*", "会话已失效；请刷新页面后重试。"),
    (
        r"the server cannot keep its records at the moment.*",
        "服务器暂时无法保存记录，磁盘可能已满；数据没有丢失，请一分钟后再试。",
    ),
    (re.escape(APOLOGY.removesuffix(".")), "程序内部出错，已记入日志；请再试一次。"),
    (re.escape(BROKEN.removesuffix(".")), "服务器上的模型文件缺失或损坏，已记入日志。"),
    (
        re.escape(UNWRITTEN.removesuffix(".")),
        "服务器无法保存结果，磁盘可能已满；已记入日志，请稍后再试。",
    ),
    (
        re.escape(LOST_MESSAGE.removesuffix(".")),
        "处理进程不止一次中途停止，可能是内存不足；请减少帧数或改用较小的尺寸。",
    ),
)
"""The refusals that visitors meet; the others are shown as they are."""


def sentence(text: str, language: Language = "en") -> str:
    """Return an error's text as a sentence that calls the fields what the page calls them."""
    text = text.strip()
    if language == "zh":
        for pattern, chinese in CHINESE_REFUSALS:
            if found := re.fullmatch(pattern, text.removesuffix(".")):
                names = [FIELD_LABELS.get(part, (part, part))[1] for part in found.groups()]
                return chinese.format(*names)
    field, _, rest = text.partition(" ")
    if field in FIELD_LABELS and rest:
        text = f"{FIELD_LABELS[field][0]} {rest}"
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."


def duration(seconds: float, language: Language = "en") -> str:
    """Return a duration as one says it, no more exact than an estimate is."""
    if seconds < 8:
        return say(language, "few_seconds")
    if seconds < 55:
        return say(language, "seconds", number=5 * round(seconds / 5))
    if seconds < 100:
        return say(language, "minute" if seconds < 75 else "minute_and_half")
    if seconds <= 5400:
        return say(language, "minutes", number=round(seconds / 60))
    return say(language, "hours", number=round(seconds / 3600))


def measured(seconds: float, language: Language = "en") -> str:
    """Return a duration that was measured: in seconds, tenths where it is short."""
    if seconds < 9.95:
        return say(language, "seconds_measured", number=f"{seconds:.1f}")
    minutes, number = divmod(round(seconds), 60)
    if minutes == 0:
        return say(language, "seconds_measured", number=number)
    return say(language, "minutes_measured", minutes=minutes, number=number)


def roughly(seconds: float, language: Language = "en") -> str:
    """Return an estimate of a duration: about so long."""
    words = duration(seconds, language)
    if words == say(language, "few_seconds"):
        return words
    return say(language, "roughly", time=words)


def listing(names: tuple[str, ...] | list[str], language: Language = "en") -> str:
    """Return names joined as in a sentence: a, b and c."""
    if language == "zh":
        return "、".join(names)
    if len(names) < 2:
        return "".join(names)
    return ", ".join(names[:-1]) + " and " + names[-1]


def megabytes(num_bytes: int) -> str:
    """Return a file's size as one says it."""
    return (
        f"{num_bytes / 1e6:.1f} MB" if num_bytes >= 100_000 else f"{max(1, num_bytes // 1000)} kB"
    )


def notice(text: str, kind: str = "note") -> str:
    """Return a paragraph that stands out (`note`, `warning` or `error`); the text is escaped."""
    role = "alert" if kind == "error" else "status"
    return f'<p class="notice {kind}" role="{role}">{html.escape(text)}</p>'


def button(act: str, text: str, *, style: str = "", job: str = "", disabled: bool = False) -> str:
    """Return a button whose press reaches the page's `act`, with the job that it concerns."""
    held = " disabled" if disabled else ""
    return (
        f'<button type="button" class="act {style}" data-act="{act}" '
        f'data-job="{html.escape(job)}"{held}>{html.escape(text)}</button>'
    )
