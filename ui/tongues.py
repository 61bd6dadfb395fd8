"""Everything that the page says, in English and in Chinese.

Gradio translates what its own components are labelled with, in the browser (`label`); what the page
writes itself is written in the visitor's language at once (`say`). Both read this one table.
"""

from typing import Literal

import gradio as gr

Language = Literal["en", "zh"]

TEXTS: dict[str, tuple[str, str]] = {
    # The form.
    "words": ("Words", "文字"),
    "clip": ("Your own clip", "自己的视频"),
    "picture": ("A picture", "图片"),
    "prompt": ("What shall it be?", "想做什么？"),
    "prompt_info": (
        "Each line is a thing of its own. Ctrl+Enter starts.",
        "请用英语描述；每行一件。按 Ctrl+Enter 开始。",
    ),
    "seed": ("Seed", "种子"),
    "dice": ("Roll another seed", "换一个种子"),
    "variations": ("Variations", "方案数"),
    "straight": ("Go straight on to 3D", "直接继续生成 3D"),
    "make": ("Make the video", "生成视频"),
    "video_settings": ("Video settings", "视频设置"),
    "mesh_settings": ("3D settings", "3D 设置"),
    "model": ("Model", "模型"),
    "frames": ("Frames", "帧数"),
    "steps": ("Steps", "步数"),
    "guidance": ("Guidance", "引导强度"),
    "models_own": ("0: the model's own", "0 为模型默认值"),
    "elevation": ("Camera height", "相机高度"),
    "degrees": ("degrees", "度"),
    "camera": ("Camera", "镜头"),
    "camera_info": (
        "A mesh needs the orbit; all others make a video only. Auto is the orbit too, but still "
        "where the words let the thing move and no mesh is asked for yet.",
        "网格需要环绕；其他镜头只生成视频。自动即环绕；若描述中物体在动且只生成视频，则镜头固定。",
    ),
    "camera_auto": ("Auto", "自动"),
    "camera_orbit": ("Orbit", "环绕"),
    "camera_still": ("Still", "固定"),
    "camera_zoom-in": ("Zoom in", "变焦放大"),
    "camera_zoom-out": ("Zoom out", "变焦缩小"),
    "camera_dolly-in": ("Dolly in", "推近"),
    "camera_dolly-out": ("Dolly out", "拉远"),
    "camera_crane-up": ("Crane up", "升起"),
    "camera_crane-down": ("Crane down", "下降"),
    "camera_arc": ("Arc", "弧线掠过"),
    "texture_size": ("Texture size", "贴图尺寸"),
    "pixels": ("pixels", "像素"),
    "max_faces": ("Most triangles", "三角形上限"),
    "max_mb": ("Most megabytes", "文件上限（MB）"),
    "no_limit": ("0: no limit", "0 为不限"),
    "distil": ("Refine with the video model", "用视频模型细化"),
    "redraw": ("Draw the video again by what its views agree on", "按各视角一致之处重画视频"),
    "restore": (
        "Bring settings back: choose or drop a GLB, MP4 or request.json",
        "恢复设置：选择或拖入 GLB、MP4 或 request.json",
    ),
    "clip_drop": ("A clip that turns once around one object", "绕着一个物体转一圈的视频"),
    "build_clip": ("Make a mesh of it", "由视频生成网格"),
    "clip_fov": (
        "The camera's field of view, degrees (0: measured)",
        "相机视场角（度，0 表示自动测量）",
    ),
    "clip_restored": (
        "The 3D settings of {title} are back; it was made from a clip, so choose the clip again.",
        "已恢复 {title} 的 3D 设置；它由视频生成，请重新选择该视频。",
    ),
    "clip_missing": ("choose a clip first", "请先选择视频"),
    "picture_drop": ("One object, all of it", "一个完整的物体"),
    "picture_words": (
        "What is it? (a name helps, but may stay empty)",
        "这是什么？（填写有帮助，也可不填）",
    ),
    "picture_info": (
        "The background must be plain or transparent. How high the picture's camera stood is said "
        "under “Video settings”.",
        "背景须为纯色或透明。拍摄时的相机高度请在“视频设置”中填写；物体名称请用英语。",
    ),
    "picture_restored": (
        "The settings of {title} are back; it was made from a picture, so choose the picture "
        "again.",
        "已恢复 {title} 的设置；它由图片生成，请重新选择该图片。",
    ),
    "picture_missing": ("choose a picture first", "请先选择图片"),
    "picture_seen": ("The picture that it was made from", "所用的图片"),
    "search": ("Search", "搜索"),
    # The heading.
    "tagline": (
        "Say what it should be: a small video model films it from all around, and the film becomes "
        "a textured mesh.",
        "说出想要的物体：小型视频模型环绕拍摄，再由视频生成带贴图的 3D 网格。",
    ),
    "model_line": ("Model: {title} · {licence}", "模型：{title} · {licence}"),
    "model_missing": (
        "The weights of “{title}” are missing or incomplete on this machine.",
        "本机缺少“{title}”的权重或权重不完整。",
    ),
    # What it will cost.
    "cost_video": ("{count} in {time}", "{count}，{time}"),
    "cost_straight": ("{count} with mesh in {time}", "{count}（含网格），{time}"),
    "cost_mesh": ("the mesh in {time}", "网格，{time}"),
    "one_video": ("1 video", "1 个视频"),
    "many_videos": ("{number} videos", "{number} 个视频"),
    "mesh_size": ("mesh file about {size}", "网格文件约 {size}"),
    "mesh_within": ("mesh file at most {size}", "网格文件不超过 {size}"),
    "mesh_packed": (
        "mesh file at most {size}, with a compressed or smaller texture",
        "网格文件不超过 {size}，贴图将压缩或缩小",
    ),
    "mesh_reduced": (
        "mesh file at most {size}, with about {faces} triangles and a compressed texture",
        "网格文件不超过 {size}，约 {faces} 个三角形，贴图将压缩",
    ),
    "queue_before": ("starts in {time}", "{time} 后开始"),
    "queue_free": ("starts at once", "立即开始"),
    # The steps.
    "step_video": ("Video", "视频"),
    "step_mesh": ("3D", "3D"),
    "empty_video": (
        "Type a thing, or pick an example. The orbit appears here out of the noise.",
        "输入或选择一个物体，环绕视频将在这里从噪声中浮现。",
    ),
    "empty_mesh": (
        "When you like the video, one press builds the mesh from it.",
        "满意视频后，一键生成 3D 网格。",
    ),
    "mesh_after_video": ("First the video, then the mesh.", "先生成视频，再生成网格。"),
    "no_mesh": ("There is no mesh of this one.", "这一个没有网格。"),
    "closed_motion": (
        "The thing in this video moves, and nothing moves in a mesh. Made with the camera “Orbit” "
        "it stands still and can be built.",
        "视频中的物体在动，而网格是静止的。选择“环绕”镜头重新生成，即可得到网格。",
    ),
    "closed_camera": (
        "The camera of this video ({camera}) does not go around the thing, so a mesh would have to "
        "guess its other sides. Made with the camera “Orbit” it can be built.",
        "此视频的镜头（{camera}）没有绕物体一圈，看不到其余各面。选择“环绕”镜头即可生成网格。",
    ),
    "closed_clip": (
        "No mesh can be made of this video: {reason}. Another seed may do better.",
        "此视频无法生成网格：{reason}。可换个种子再试。",
    ),
    "build": ("Build it in 3D", "生成 3D"),
    "queued_mesh": ("The field appears here as it forms.", "场将在形成时显示于此。"),
    "orbit_video": ("Orbit video of {title}", "{title} 的环绕视频"),
    "clip_video": ("Video of {title}", "{title} 的视频"),
    "mesh_of": ("3D mesh of {title}", "{title} 的 3D 网格"),
    "variation": ("Variation {number}, seed {seed}", "方案 {number}，种子 {seed}"),
    "choose": ("Choose one to build", "选择一个来生成"),
    # Progress.
    "stage_video": ("Video", "视频"),
    "stage_field": ("3D field", "3D 场"),
    "stage_distillation": ("Refining", "细化"),
    "stage_redraw": ("Redrawing", "重画"),
    "stage_mesh": ("Mesh", "网格"),
    "stage_texture": ("Texture", "贴图"),
    "stage_report": ("Report", "报告"),
    "step_of": ("{stage}: step {step} of {count}", "{stage}：第 {step} / {count} 步"),
    "reading": ("Reading the prompt", "正在理解描述"),
    "starting": ("Starting: the model is being made ready", "正在准备模型"),
    "waiting_one": ("Waiting: one job runs before this one", "排队中：前面有 1 个任务"),
    "waiting": ("Waiting: {number} jobs run before this one", "排队中：前面有 {number} 个任务"),
    "left": ("{time} left", "还需{time}"),
    "starts_in": ("starts in {time}", "{time} 后开始"),
    "cancelling": ("Cancelling", "正在取消"),
    "stopping": ("Stopping, and keeping what there is", "正在停止并保留已有结果"),
    "cancelled": ("Cancelled.", "已取消。"),
    "stopped": ("Stopped early; what there was is kept.", "已提前停止，保留了已有结果。"),
    "cancel": ("Cancel", "取消"),
    "stop": ("Stop here and keep it", "停在这里并保留"),
    "retry": ("Try again", "重试"),
    "preview_alt": ("{stage}, as it forms", "{stage}（生成中）"),
    "drawn_as": (
        "The model does not know these words; it draws what they seem to mean: {caption}.",
        "模型没有学过这些词；按其大意绘制：{caption}。",
    ),
    "drawn_still": (
        "Nothing moves in a mesh, so the words for that are left out: {caption}.",
        "网格是静止的，因此略去描述动作的词：{caption}。",
    ),
    "drawn_moving": ("Drawn as {caption}.", "绘制为：{caption}。"),
    "known_near": ("Nearest things the model knows: {names}.", "模型所知的相近物体：{names}。"),
    "known_far": (
        "This prompt lies far from everything that the model was taught, so the result will be a "
        "guess. The nearest things it knows are {names}.",
        "模型从未学过类似的物体，结果只能是猜测。它所知的最相近物体：{names}。",
    ),
    "about": ("seed {seed}", "种子 {seed}"),
    # The viewer.
    "view": ("View", "显示"),
    "view_lit": ("Lit", "光照"),
    "view_colour": ("Texture", "贴图"),
    "view_matte": ("Matte", "素模"),
    "view_wires": ("Wireframe", "线框"),
    "light": ("Light", "亮度"),
    "in_step": ("Turn with the video", "与视频同步旋转"),
    "size": ("Size", "尺寸"),
    "size_value": (
        "{w} wide, {h} high, {d} deep",
        "宽 {w}，高 {h}，深 {d}",
    ),
    "viewer_help": ("Drag to turn, scroll or pinch to come closer.", "拖动旋转，滚动或捏合缩放。"),
    "fullscreen": ("Full screen", "全屏"),
    "use_other_viewer": ("Other viewer", "另一个查看器"),
    "use_own_viewer": ("First viewer", "原来的查看器"),
    # Results.
    "downloads": ("Take it home", "下载"),
    "preparing": ("The other formats are being made…", "其他格式正在生成…"),
    "format_glb": ("GLB · games, web, slides", "GLB · 游戏、网页、幻灯片"),
    "format_obj": ("OBJ with material and texture", "OBJ（含材质和贴图）"),
    "format_ply": ("PLY with colours", "PLY（含颜色）"),
    "format_stl": ("STL · for printing, 10 cm", "STL · 3D 打印，10 厘米"),
    "format_usdz": ("USDZ · Apple", "USDZ · 苹果设备"),
    "format_mp4": ("MP4 · the video", "MP4 · 视频"),
    "format_first-mp4": ("MP4 · as first drawn", "MP4 · 初稿"),
    "format_gif": ("GIF turntable", "GIF 转台动画"),
    "format_webp": ("WebP turntable", "WebP 转台动画"),
    "clip_gif": ("GIF · the video", "GIF · 视频"),
    "clip_webp": ("WebP · the video", "WebP · 视频"),
    "format_report": ("PNG · this report", "PNG · 质量报告"),
    "format_dataset": ("Frames and cameras · nerfstudio", "帧与相机 · nerfstudio"),
    "closed_dataset": (
        "There is no data set of this one: only an orbit's frames are known to show one thing that "
        "stands still.",
        "没有 nerfstudio 数据集：只有环绕视频的各帧才确知是同一静止物体。",
    ),
    "report": ("How good it is", "质量报告"),
    "views_chart": (
        "How well the mesh's field explains each view of the video",
        "3D 场与视频各视角的吻合程度",
    ),
    "first_drawn": (" (as first drawn)", "（初稿）"),
    "view_is": ("View {number}: {psnr} dB", "视角 {number}：{psnr} dB"),
    "best_view": ("Best view, {number}", "最好视角：{number}"),
    "worst_view": ("Worst view, {number}", "最差视角：{number}"),
    "filmed": ("in the video", "视频"),
    "built": ("in 3D", "3D"),
    "difference": ("difference", "差异"),
    "weak_views": (
        "Views {views} disagree with the rest ({psnr} dB): {sides} may be soft.",
        "视角 {views} 与其余不符（{psnr} dB）：{sides}可能模糊。",
    ),
    "weak_view": (
        "View {views} ({sides}) disagrees with the rest ({psnr} dB).",
        "视角 {views}（{sides}）与其余不符（{psnr} dB）。",
    ),
    "redrawn": (
        "The video was drawn again by what its views agree on ({psnr} dB now).",
        "视频已按各视角一致之处重画（现为 {psnr} dB）。",
    ),
    "held_within": ("The file is held to {size}.", "文件已限制在 {size} 以内。"),
    "side_front": ("front", "正面"),
    "side_right": ("right side", "右侧"),
    "side_back": ("back", "背面"),
    "side_left": ("left side", "左侧"),
    "side_above": ("top", "顶部"),
    "side_below": ("underside", "底部"),
    "texture": ("Texture", "贴图"),
    "times": ("Where the time went", "用时分布"),
    "fact_field": ("Frames and field agree", "帧与场吻合"),
    "fact_mesh": ("Frames and mesh agree", "帧与网格吻合"),
    "fact_surface": ("Surface", "表面"),
    "closed": ("closed", "封闭"),
    "open": ("not closed", "未封闭"),
    "fact_faces": ("Triangles", "三角形"),
    "fact_vertices": ("Vertices", "顶点"),
    "fact_texture": ("Texture", "贴图"),
    "fact_light": ("Light", "光照"),
    "baked": ("baked into the colours", "已烘焙进颜色"),
    "not_baked": ("not baked in", "未烘焙"),
    "verdict_good": ("The views agree with one another.", "各视角彼此吻合。"),
    "verdict_rough": (
        "The views agree roughly: the shape is right in the large, details may be blurred.",
        "各视角大致吻合：整体形状正确，细节可能模糊。",
    ),
    "verdict_poor": (
        "The views do not agree with one another: no single object looks like all of them, so the "
        "mesh is a compromise. Another seed may do better.",
        "各视角不吻合：没有一个物体能同时符合所有视角，网格只是折中。换个种子可能更好。",
    ),
    # The gallery.
    "gallery": ("Your creations", "我的作品"),
    "gallery_none": ("What you make is kept here.", "生成的作品会保存在这里。"),
    "found_none": ("Nothing here is called that.", "没有找到。"),
    "more": ("Show more", "显示更多"),
    "title_of": ("Title", "标题"),
    "again": ("Use these settings", "使用这些设置"),
    "again_short": ("Again", "再做"),
    "delete": ("Delete", "删除"),
    "delete_sure": ("Delete for good?", "确定永久删除？"),
    "share": ("Share", "分享"),
    "unshare": ("Stop sharing", "停止分享"),
    "copy": ("Copy link", "复制链接"),
    "copied": ("Copied", "已复制"),
    "share_link": ("Link for anybody", "公开链接"),
    "look": ("Look at {title}", "查看 {title}"),
    "state_queued": ("waiting", "排队"),
    "state_running": ("in work", "进行中"),
    "state_failed": ("failed", "失败"),
    "state_cancelled": ("cancelled", "已取消"),
    "state_stopped": ("stopped", "已停止"),
    "has_video": ("video", "视频"),
    "shared_with_you": ("Somebody shared this with you.", "有人与你分享了这个作品。"),
    "share_gone": (
        "This link leads nowhere any more: its maker withdrew it, or it has expired.",
        "此链接已失效：作者已撤回或已过期。",
    ),
    "make_own": ("Make your own", "自己做一个"),
    "restored": ("The settings of {title} are back in the form.", "已恢复 {title} 的设置。"),
    "no_webgl": ("This browser draws no 3D.", "此浏览器无法显示 3D。"),
    "elsewhere": ("{model} does not run here.", "{model} 在此无法运行。"),
    # Durations.
    "roughly": ("about {time}", "约 {time}"),
    "few_seconds": ("a few seconds", "几秒"),
    "seconds": ("{number} seconds", "{number} 秒"),
    "seconds_measured": ("{number} s", "{number} 秒"),
    "minutes_measured": ("{minutes} min {number} s", "{minutes} 分 {number} 秒"),
    "minute": ("a minute", "1 分钟"),
    "minute_and_half": ("a minute and a half", "一分半钟"),
    "minutes": ("{number} minutes", "{number} 分钟"),
    "hours": ("{number} hours", "{number} 小时"),
}

I18N = gr.I18n(
    en={key: english for key, (english, _) in TEXTS.items()},
    zh={key: chinese for key, (_, chinese) in TEXTS.items()},
)


def label(key: str) -> str:
    """Return what a component is given so that the browser shows a text in its own language."""
    assert key in TEXTS, key
    # A str to the type checker: Gradio's components take the marker wherever they take a text.
    return I18N(key)  # pyright: ignore[reportReturnType]


def say(language: Language, key: str, **values: object) -> str:
    """Return a text in a language, its places filled in."""
    return TEXTS[key][language == "zh"].format(**values)


def language_of(tag: object) -> Language:
    """Return the page's language for a browser's language tag; English where it has neither."""
    return "zh" if isinstance(tag, str) and tag.lower().startswith("zh") else "en"
