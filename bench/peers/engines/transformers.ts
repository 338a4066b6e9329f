/**
 * transformers.js: ONNX Runtime's native CPU provider, with all graph optimisations (the default) and the threads that
 * are asked for.
 */
import {
  AutoModelForCausalLM,
  BaseStreamer,
  env,
  type PreTrainedModel,
  Tensor,
  type TextStreamer,
} from "@huggingface/transformers";
import { ONNX_FOLDER, ONNX_NAME } from "../paths.js";
import { type Engine, type EngineOptions, type GreedyRun, TokenClock } from "./engine.js";

type GenerationParameters = Parameters<PreTrainedModel["generate"]>[0];

export async function startTransformers({ dtype, threads }: EngineOptions): Promise<Engine> {
  env.allowRemoteModels = false;
  env.localModelPath = ONNX_FOLDER;
  const model: PreTrainedModel = await AutoModelForCausalLM.from_pretrained(ONNX_NAME, {
    device: "cpu",
    dtype: dtype === "f32" ? "fp32" : "q8",
    session_options: {
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: "sequential",
      graphOptimizationLevel: "all",
    },
  });
  return {
    description: `onnxruntime-node, CPU provider, ${threads} threads, ${dtype === "f32" ? "fp32" : "q8"}`,
    async generate(prompt, newTokens): Promise<GreedyRun> {
      const clock = new TokenClock();
      // The types ask for a TextStreamer; `generate` uses only what BaseStreamer has.
      const streamer = new ClockStreamer(clock) as BaseStreamer as TextStreamer;
      await model.generate({
        ...promptInputs(prompt),
        max_new_tokens: newTokens,
        do_sample: false,
        streamer,
      } as GenerationParameters);
      return clock.finish();
    },
    async logits(prompt) {
      const { logits } = await model({
        ...promptInputs(prompt),
        num_logits_to_keep: new Tensor("int64", [1n], []),
      });
      return Float32Array.from(logits.data);
    },
  };
}

function promptInputs(prompt: readonly number[]): { input_ids: Tensor; attention_mask: Tensor } {
  const tensor = (values: readonly number[]) =>
    new Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
  return { input_ids: tensor(prompt), attention_mask: tensor(prompt.map(() => 1)) };
}

/** Hands the generated tokens to a clock; the first call brings the prompt. */
class ClockStreamer extends BaseStreamer {
  readonly #clock: TokenClock;
  #promptSeen = false;

  constructor(clock: TokenClock) {
    super();
    this.#clock = clock;
  }

  override put(value: bigint[][]): void {
    if (this.#promptSeen) this.#clock.add(Number(value[0]!.at(-1)));
    this.#promptSeen = true;
  }

  override end(): void {}
}
