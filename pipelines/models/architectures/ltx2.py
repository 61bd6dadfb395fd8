"""LTX-2: picture and sound denoised together. The sound is drawn, steers the picture, and goes."""

import math

import torch
from diffusers.pipelines.ltx.pipeline_ltx import calculate_shift
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from pipelines.models.architectures.base import Architecture, ClipShape, Texts
from pipelines.models.architectures.shifts import dynamic_sigmas

FPS = 24.0


class Ltx2(Architecture):
    """LTX-2's text-to-video pipeline; a state is both modalities' tokens, flattened one by one."""

    pipeline_name = "LTX2Pipeline"
    parts = ("text_encoder", "connectors", "transformer", "vae")
    unused = ("audio_vae", "vocoder", "processor", "prompt_enhancer", "duration_head")

    @property
    def space_stride(self) -> int:
        return int(self.pipeline.vae_spatial_compression_ratio)

    @property
    def time_stride(self) -> int:
        return int(self.pipeline.vae_temporal_compression_ratio)

    def state_shape(self, clip: ClipShape) -> tuple[int, ...]:
        video = self.latent_channels * math.prod(self.latent_size(clip))
        return (1, video + self._audio_frames(clip) * self.transformer.config.audio_in_channels)

    def sigmas(self, num_steps: int, clip: ClipShape, start: float) -> Float[Tensor, " level"]:
        config = self.pipeline.scheduler.config
        if not config.use_dynamic_shifting:
            return super().sigmas(num_steps, clip, start)
        shift = calculate_shift(
            math.prod(self.latent_size(clip)),
            config.get("base_image_seq_len", 1024),
            config.get("max_image_seq_len", 4096),
            config.get("base_shift", 0.95),
            config.get("max_shift", 2.05),
        )
        return dynamic_sigmas(num_steps, shift, config.get("shift_terminal"), start)

    def _text_parts(self) -> tuple[str, ...]:
        return ("text_encoder", "connectors")

    def _encode_text(self, prompt: str) -> Texts:
        embeds, mask, _, _ = self.pipeline.encode_prompt(
            prompt, do_classifier_free_guidance=False, device=self.device
        )
        side = getattr(self.pipeline.tokenizer, "padding_side", "left")
        video, audio, mask = self.pipeline.connectors(embeds, mask, padding_side=side)
        return {
            "encoder_hidden_states": video.to(self._network_dtype()),
            "audio_encoder_hidden_states": audio.to(self._network_dtype()),
            "encoder_attention_mask": mask,
            "audio_encoder_attention_mask": mask,
        }

    def velocity(
        self,
        x: Float[Tensor, "1 *state"],
        sigma: float,
        text: Texts,
        clip: ClipShape,
        prepared: dict[str, Tensor],
    ) -> Float[Tensor, "1 *state"]:
        time, rows, columns = self.latent_size(clip)
        level = torch.full((1,), 1000 * sigma, device=x.device)
        sound = rearrange(
            x[:, self._video_numbers(clip) :], "b (l c) -> b l c", l=self._audio_frames(clip)
        )
        video, audio = self.transformer(
            hidden_states=self._packed(self.video_latents(x, clip)).to(self._network_dtype()),
            audio_hidden_states=sound.to(self._network_dtype()),
            timestep=level,
            sigma=level,
            num_frames=time,
            height=rows,
            width=columns,
            fps=FPS,
            audio_num_frames=self._audio_frames(clip),
            return_dict=False,
            **text,
        )
        patch, patch_time = self._patches()
        video = self.pipeline._unpack_latents(video.float(), time, rows, columns, patch, patch_time)
        return torch.cat([video.flatten(1), audio.float().flatten(1)], dim=1)

    def video_latents(
        self, x: Float[Tensor, "1 *state"], clip: ClipShape
    ) -> Float[Tensor, "1 channel time rows columns"]:
        size = (self.latent_channels, *self.latent_size(clip))
        return x[:, : self._video_numbers(clip)].view(1, *size)

    def start(
        self,
        latents: Float[Tensor, "1 channel time rows columns"],
        noise: Float[Tensor, "1 *state"],
        clip: ClipShape,
    ) -> Float[Tensor, "1 *state"]:
        # Silence: a rendered clip has no sound, and zero is its middle.
        silence = torch.zeros_like(noise[:, self._video_numbers(clip) :])
        return torch.cat([latents.flatten(1), silence], dim=1)

    def normalise(
        self, latents: Float[Tensor, "1 channel time rows columns"]
    ) -> Float[Tensor, "1 channel time rows columns"]:
        vae = self.vae
        return self.pipeline._normalize_latents(
            latents, vae.latents_mean, vae.latents_std, vae.config.scaling_factor
        )

    def denormalise(
        self, latents: Float[Tensor, "1 channel time rows columns"]
    ) -> Float[Tensor, "1 channel time rows columns"]:
        vae = self.vae
        return self.pipeline._denormalize_latents(
            latents, vae.latents_mean, vae.latents_std, vae.config.scaling_factor
        )

    def _decode(self, latents: Tensor) -> Tensor:
        return self.vae.decode(latents, None, return_dict=False)[0]

    def _audio_frames(self, clip: ClipShape) -> int:
        config = self.transformer.config
        a_second = config.audio_sampling_rate / config.audio_hop_length / config.audio_scale_factor
        return round(clip.num_frames / FPS * a_second)

    def _video_numbers(self, clip: ClipShape) -> int:
        return self.latent_channels * math.prod(self.latent_size(clip))

    def _patches(self) -> tuple[int, int]:
        return (
            self.pipeline.transformer_spatial_patch_size,
            self.pipeline.transformer_temporal_patch_size,
        )

    def _packed(self, latents: Tensor) -> Tensor:
        return self.pipeline._pack_latents(latents, *self._patches())
