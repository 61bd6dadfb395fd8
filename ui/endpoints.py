"""What each of the named endpoints does; how they are served is `ui.api`'s to say.

A caller is a visitor: `submit` hands out a `key` where none is given, and a job is reached by its
id and that key together. Every endpoint is quick; nobody waits in one for a job to be done.
Their docstrings are what agents read. What takes a file is in `ui.upload_endpoints`.
"""

from pipelines.models.catalogue import MODELS
from pipelines.request import GenerationRequest
from ui.answers import DEFAULT, extent, real, session_of, standing_of
from ui.desk import Desk
from ui.mesh_settings import redraw_of


class Endpoints:
    """What each endpoint does."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def submit(
        self,
        prompt: str,
        seed: int = DEFAULT.seed,
        model: str = DEFAULT.model,
        num_frames: int = DEFAULT.num_frames,
        size: int = 0,
        num_steps: int = 0,
        guidance_scale: float = 0.0,
        elevation_deg: float = DEFAULT.elevation_deg,
        texture_size: int = DEFAULT.texture_size,
        max_faces: int = DEFAULT.max_faces,
        video_only: bool = DEFAULT.video_only,
        distil: bool = DEFAULT.distil,
        key: str = "",
        max_mb: float = 0.0,
        camera: str = DEFAULT.camera,
        redraw: bool = True,
    ) -> dict:
        """Hand in a job that makes an orbit video, and from it a textured 3D mesh, of one object.

        Returns at once with the job's id; ask `status` until its state is done, then `result`.

        Args:
            prompt: What to make, a single object in a few words, such as "a wooden chair".
            seed: The only source of chance; the same seed and settings give the same result.
            model: A name that the endpoint `models` lists.
            num_frames: Frames of the video, one full turn.
            size: Width and height of the video in pixels; 0 is the model's own.
            num_steps: Denoising steps; 0 is the model's own number.
            guidance_scale: How strongly the words steer, 1 is off; 0 is the model's own.
            elevation_deg: Height of the orbit's cameras above the horizon in degrees.
            texture_size: Width and height of the mesh's texture: 512, 1024, 2048 or 4096.
            max_faces: The mesh has at most so many triangles.
            video_only: Stop when the video is made, without a mesh.
            distil: Refine the 3D field with the video model, which takes longer.
            key: The key from an earlier call, so that all your jobs belong together; empty: a new
                one is made. Keep it secret: whoever has it can read and cancel the jobs.
            max_mb: Megabytes that the mesh's file may have; 0 is no limit.
            camera: What the camera does: auto (once around; where only a video is asked for of a
                thing that moves, as in "a spinning coin", still), orbit, or, with video_only and a
                model that `models` lists with `moves`: still, zoom-in, zoom-out, dolly-in,
                dolly-out, crane-up, crane-down or arc.
            redraw: Draw the video again, once there is a mesh, by what its views agree on, with a
                model whose videos gain by that.
        """
        request = GenerationRequest(
            prompt=prompt,
            seed=seed,
            model=model,
            num_frames=num_frames,
            size=size or None,
            num_steps=num_steps or None,
            guidance_scale=real(guidance_scale) or None,
            elevation_deg=real(elevation_deg),
            texture_size=texture_size,
            max_faces=max_faces,
            video_only=video_only,
            distil=distil,
            redraw=redraw_of(redraw),
            max_mb=real(max_mb) or None,
            camera=camera,
        )
        session = session_of(self.desk, key)
        return standing_of(self.desk, self.desk.submit(request, session), session)

    def status(self, job: str, key: str) -> dict:
        """Say how a job stands: its state, stage, step, seconds left, and what is ready.

        Args:
            job: The job's id.
            key: The key that it was handed in with.
        """
        return standing_of(self.desk, job, key)

    def cancel(self, job: str, key: str) -> dict:
        """Cancel a job; it ends within two seconds.

        Args:
            job: The job's id.
            key: The key that it was handed in with.
        """
        self.desk.cancel(job, key)
        return standing_of(self.desk, job, key)

    def stop(self, job: str, key: str) -> dict:
        """End a job early and keep what it has, the video as far as it was drawn too.

        Args:
            job: The job's id.
            key: The key that it was handed in with.
        """
        self.desk.stop(job, key)
        return standing_of(self.desk, job, key)

    def resume(self, job: str, key: str) -> dict:
        """Go on with a job that failed, was cancelled or was stopped, from its last whole stage.

        Args:
            job: The job's id.
            key: The key that it was handed in with.
        """
        self.desk.resume(job, key)
        return standing_of(self.desk, job, key)

    def build_3d(
        self,
        job: str,
        key: str,
        texture_size: int = DEFAULT.texture_size,
        max_faces: int = DEFAULT.max_faces,
        distil: bool = DEFAULT.distil,
        max_mb: float = 0.0,
        redraw: bool = True,
    ) -> dict:
        """Make the mesh of a job that was handed in with video_only and is done.

        Args:
            job: The job's id, which stays the same.
            key: The key that it was handed in with.
            texture_size: Width and height of the texture: 512, 1024, 2048 or 4096.
            max_faces: The mesh has at most so many triangles.
            distil: Refine the 3D field with the video model, which takes longer.
            max_mb: Megabytes that the mesh's file may have; 0 is no limit.
            redraw: Draw the video again by what its views agree on, with a model whose videos gain
                by that.
        """
        limits = {"texture_size": texture_size, "max_faces": max_faces}
        refined = {"distil": distil, "redraw": redraw_of(redraw)}
        self.desk.build(job, key, **refined, max_mb=real(max_mb) or None, **limits)
        return standing_of(self.desk, job, key)

    def result(self, job: str, key: str) -> tuple[dict, list[str]]:
        """Return a job's standing with its report, and its files that are ready.

        Args:
            job: The job's id.
            key: The key that it was handed in with.
        """
        found = self.desk.job(job, key)
        files = [str(path) for path in self.desk.results(found).values()]
        return standing_of(self.desk, job, key), files

    def export(self, job: str, key: str, format: str) -> tuple[dict, str | None]:
        """Return a finished job's result in another format, once that is made.

        Where `state` is "pending" it is being made: ask again in a few seconds.

        Args:
            job: The job's id.
            key: The key that it was handed in with.
            format: One of glb, obj, ply, stl, usdz, mp4, first-mp4 (the video as it was first
                drawn), gif, webp, report (the report as a picture) and dataset (an orbit's frames
                with their cameras, for nerfstudio).
        """
        path = self.desk.export(job, key, format)
        return {"job": job, "format": format, "state": "ready" if path else "pending"}, path

    def share(self, job: str, key: str, shared: bool = True) -> dict:
        """Let anybody who has a link look at a job, or withdraw the link.

        Args:
            job: The job's id.
            key: The key that it was handed in with.
            shared: True gives a link, the same until it is withdrawn; false withdraws it.
        """
        if not shared:
            self.desk.unshare(job, key)
            return {"job": job, "link": None}
        return {"job": job, "link": f"/?share={self.desk.share(job, key)}"}

    def rename(self, job: str, key: str, title: str) -> dict:
        """Give a job another title.

        Args:
            job: The job's id.
            key: The key that it was handed in with.
            title: What it shall be called; empty: its prompt again.
        """
        self.desk.rename(job, key, title)
        return standing_of(self.desk, job, key)

    def delete(self, job: str, key: str) -> dict:
        """Delete a job with all its files for good; one that runs is cancelled.

        Args:
            job: The job's id.
            key: The key that it was handed in with.
        """
        self.desk.delete(job, key)
        return {"job": job, "state": "deleted"}

    def jobs(self, key: str, search: str = "") -> list[dict]:
        """List your jobs, the newest first, at most a hundred.

        Args:
            key: The key that they were handed in with.
            search: Words that the title or the prompt must have.
        """
        found = self.desk.jobs(key, str(search), limit=100)
        return [
            {"job": job.id, "title": job.title, "state": job.state, "seed": job.request.seed}
            for job in found
        ]

    def models(self) -> list[dict]:
        """List the video models that this server can run."""
        return [
            {"model": card.name, "title": card.title, "licence": card.licence, **extent(card)}
            for card in MODELS
            if card.runnable()
        ]
