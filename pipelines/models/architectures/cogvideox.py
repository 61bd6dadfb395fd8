"""CogVideoX: a variance-preserving diffusion that predicts v (or noise), turned into flow.

With a = sqrt(alpha_bar) and b = sqrt(1 - alpha_bar), the network's state a x0 + b noise is flow's
state at sigma = b / (a + b), divided by sqrt((1 - sigma)^2 + sigma^2). Euler's step of flow is in
these coordinates DDIM's step without noise (Song et al., "Denoising Diffusion Implicit Models",
equation 12 with eta = 0).
"""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from pipelines.models.architectures.base import Architecture, ClipShape, Texts

MAX_TOKENS = 226


class CogVideoX(Architecture):
    """CogVideoX's text-to-video pipeline, 1.0 and 1.5."""

    pipeline_name = "CogVideoXPipeline"
    parts = ("text_encoder", "transformer", "vae")

    @property
    def space_stride(self) -> int:
        return int(self.pipeline.vae_scale_factor_spatial)

    @property
    def time_stride(self) -> int:
        return int(self.pipeline.vae_scale_factor_temporal)

    @property
    def pixel_multiple(self) -> int:
        return self.space_stride * int(self.transformer.config.patch_size)

    def _padding(self, clip: ClipShape) -> int:
        """Return the latents before the first that only fill a patch in time (version 1.5)."""
        patch = self.transformer.config.patch_size_t or 1
        return -self.latent_size(clip)[0] % patch

    def state_shape(self, clip: ClipShape) -> tuple[int, ...]:
        time, rows, columns = self.latent_size(clip)
        return (1, self.latent_channels, time + self._padding(clip), rows, columns)

    def _levels(self) -> Float[Tensor, " step"]:
        """Return flow's sigma of every training step, rising."""
        signal = self.pipeline.scheduler.alphas_cumprod.double().cpu().clamp(0, 1).sqrt()
        noise = (1 - signal.square()).clamp(min=0).sqrt()
        return noise / (signal + noise)

    def sigmas(self, num_steps: int, clip: ClipShape, start: float) -> Float[Tensor, " level"]:
        levels = self._levels()
        # Spaced evenly in training steps, from the last one down, as `trailing` does.
        last = self._training_step(min(start, float(levels[-1]))) + 1
        steps = last - last / num_steps * torch.arange(num_steps, dtype=torch.float64) - 1
        below = steps.floor().long().clamp(0, len(levels) - 1)
        above = (below + 1).clamp(max=len(levels) - 1)
        part = (steps - below).clamp(0, 1)
        chosen = levels[below] * (1 - part) + levels[above] * part
        return torch.cat([chosen, chosen.new_zeros(1)]).float()

    def _training_step(self, sigma: float) -> float:
        """Return the fractional training step whose noise level is sigma."""
        levels = self._levels()
        above = int(torch.searchsorted(levels, levels.new_tensor(sigma)).clamp(1, len(levels) - 1))
        low, high = float(levels[above - 1]), float(levels[above])
        return max(0.0, min(len(levels) - 1.0, above - 1 + (sigma - low) / (high - low)))

    def _encode_text(self, prompt: str) -> Texts:
        embeds, _ = self.pipeline.encode_prompt(
            prompt,
            do_classifier_free_guidance=False,
            max_sequence_length=MAX_TOKENS,
            device=self.device,
        )
        return {"encoder_hidden_states": embeds.to(self._network_dtype())}

    def velocity(
        self,
        x: Float[Tensor, "1 *state"],
        sigma: float,
        text: Texts,
        clip: ClipShape,
        prepared: dict[str, Tensor],
    ) -> Float[Tensor, "1 *state"]:
        norm = ((1 - sigma) ** 2 + sigma**2) ** 0.5
        signal, noise = (1 - sigma) / norm, sigma / norm
        preserved = x / norm
        tokens = rearrange(preserved, "b c f h w -> b f c h w").to(self._network_dtype())
        step = torch.full((1,), self._training_step(sigma), device=x.device)
        out = self.transformer(
            hidden_states=tokens,
            timestep=step,
            image_rotary_emb=self._rotary(clip, tokens.shape[1], x.device),
            return_dict=False,
            **text,
        )[0].float()
        out = rearrange(out, "b f c h w -> b c f h w")
        kind = self.pipeline.scheduler.config.prediction_type
        if kind == "v_prediction":
            # v = signal noise - noise_level x0, so noise - x0 is this rotation of state and v.
            return (noise - signal) * preserved + (signal + noise) * out
        if kind == "epsilon":
            return out - (preserved - noise * out) / signal
        return (preserved - signal * out) / noise - out

    def _rotary(
        self, clip: ClipShape, latent_frames: int, device: torch.device
    ) -> tuple[Tensor, Tensor] | None:
        if not self.transformer.config.use_rotary_positional_embeddings:
            return None
        return self.pipeline._prepare_rotary_positional_embeddings(
            clip.height, clip.width, latent_frames, device
        )

    def video_latents(
        self, x: Float[Tensor, "1 *state"], clip: ClipShape
    ) -> Float[Tensor, "1 channel time rows columns"]:
        return x[:, :, self._padding(clip) :]

    def start(
        self,
        latents: Float[Tensor, "1 channel time rows columns"],
        noise: Float[Tensor, "1 *state"],
        clip: ClipShape,
    ) -> Float[Tensor, "1 *state"]:
        padding = latents[:, :, :1].expand(-1, -1, self._padding(clip), -1, -1)
        return torch.cat([padding, latents], dim=2)

    def normalise(
        self, latents: Float[Tensor, "1 channel time rows columns"]
    ) -> Float[Tensor, "1 channel time rows columns"]:
        return latents * self.pipeline.vae_scaling_factor_image

    def denormalise(
        self, latents: Float[Tensor, "1 channel time rows columns"]
    ) -> Float[Tensor, "1 channel time rows columns"]:
        return latents / self.pipeline.vae_scaling_factor_image
