/** Families that are known and do not run, and what of them is missing: the rest of "model_type is …; …". */
const NO_EXPERTS = "its MLPs are mixtures of experts, which are not run";
const NO_STATE = "its layers keep a state that is not K and V, which is not run";
const NO_ALIBI = "its scores fall with the distance (ALiBi), which is not run";
const NO_ENCODER = "it has an encoder, and decoders alone are run";
const BOTH_WAYS = "its attention reads text in both directions, and models that continue a text are run";
const NOT_TEXT_ALONE = "it reads more than text, and its text model is not run apart";
const NEIGHBOURS = "its rotation turns neighbouring values, which is not run";

/** What is not run → the `model_type`s of which it is the case. */
const REASONS: Readonly<Record<string, readonly string[]>> = {
  [NO_EXPERTS]: [
    ...[
      "mixtral",
      "qwen2_moe",
      "qwen3_moe",
      "granitemoe",
      "granitemoeshared",
      "olmoe",
      "flex_olmo",
      "phimoe",
      "dbrx",
    ],
    ...[
      "jetmoe",
      "llama4",
      "llama4_text",
      "ernie4_5_moe",
      "glm4_moe",
      "hunyuan_v1_moe",
      "dots1",
      "minimax_m2",
    ],
  ],
  [NO_STATE]: [
    ...["mamba", "mamba2", "falcon_mamba", "rwkv", "recurrent_gemma", "jamba", "bamba", "zamba", "zamba2"],
    ...[
      "lfm2",
      "lfm2_moe",
      "lfm2_vl",
      "qwen35",
      "qwen3_5",
      "qwen3_5_text",
      "qwen3_5_moe",
      "qwen3_5_moe_text",
    ],
    ...["qwen3_next", "granitemoehybrid", "nemotron_h", "falcon_h1", "minimax", "xlstm"],
  ],
  [NO_ALIBI]: ["bloom", "mpt"],
  [NO_ENCODER]: [
    ...["t5", "mt5", "umt5", "longt5", "t5gemma", "bart", "mbart", "pegasus", "marian", "m2m_100", "whisper"],
    ...["encoder-decoder", "led"],
  ],
  [BOTH_WAYS]: [
    ...[
      "bert",
      "roberta",
      "xlm-roberta",
      "camembert",
      "distilbert",
      "albert",
      "electra",
      "deberta",
      "deberta-v2",
    ],
    ...["mpnet", "modernbert", "nomic_bert"],
  ],
  [NOT_TEXT_ALONE]: [
    ...[
      "llava",
      "llava_next",
      "mllama",
      "mistral3",
      "pixtral",
      "paligemma",
      "idefics3",
      "smolvlm",
      "internvl",
    ],
    ...[
      "qwen2_vl",
      "qwen2_5_vl",
      "qwen3_vl",
      "qwen2_audio",
      "phi3_v",
      "phi4mm",
      "phi4_multimodal",
      "clip",
      "siglip",
      "vit",
    ],
  ],
  [NEIGHBOURS]: ["gptj", "codegen", "cohere", "cohere2", "glm", "glm4"],
  "its attention has sinks and its MLPs are mixtures of experts, which are not run": ["gpt_oss"],
  "its K and V are stored compressed and its MLPs are mixtures of experts, which are not run": [
    ...["deepseek_v2", "deepseek_v3", "deepseek_v32", "kimi_k2"],
  ],
  "its layers share K and V and have embeddings of their own, which are not run": ["gemma3n", "gemma3n_text"],
  "its layers differ in the size of their heads, which is not run": ["gemma4", "gemma4_text"],
  "its Q, K and V are stored by groups of heads, which is not read": ["falcon", "gpt_bigcode"],
  "its positions start at 2, and some of its sizes have norms elsewhere, which is not run": ["opt"],
  "its head has a bias, which is not run": ["phi"],
};

const REASON_OF = new Map(
  Object.entries(REASONS).flatMap(([reason, types]) => types.map((type) => [type, reason] as const)),
);

/** Why a family is not run, as the rest of a sentence; null for one that is not known. */
export function whyRefused(modelType: unknown): string | null {
  return (typeof modelType === "string" && REASON_OF.get(modelType)) || null;
}
