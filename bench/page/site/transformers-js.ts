import { AutoModelForCausalLM, BaseStreamer, env, Tensor } from "@huggingface/transformers";
import { runPage, TokenClock } from "./run-page.js";

/** Tells the clock of every token but those of the prompt, which come first. */
class ClockStreamer extends BaseStreamer {
  #isPromptSeen = false;
  readonly #clock: TokenClock;

  constructor(clock: TokenClock) {
    super();
    this.#clock = clock;
  }

  override put(value: bigint[][]): void {
    if (this.#isPromptSeen) this.#clock.add(Number(value[0]!.at(-1)));
    this.#isPromptSeen = true;
  }

  override end(): void {}
}

void runPage(async ({ type, variant, threads }) => {
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = "/models/onnx/";
  // No other engine keeps a copy of the model.
  env.useBrowserCache = false;
  env.useWasmCache = false;
  const wasm = env.backends.onnx.wasm!;
  // It takes the build with asyncify, and would fetch it from a CDN.
  const name = variant === "plain" ? "ort-wasm-simd-threaded" : "ort-wasm-simd-threaded.asyncify";
  const address = (end: string) => new URL(`/onnxruntime/${name}.${end}`, location.href).href;
  wasm.wasmPaths = { mjs: address("mjs"), wasm: address("wasm") };
  wasm.numThreads = threads;
  const model = await AutoModelForCausalLM.from_pretrained("gpt2", {
    ...{ device: "wasm", dtype: type === "f32" ? "fp32" : "q8" },
    session_options: { executionMode: "sequential", graphOptimizationLevel: "all" },
  });
  const tensor = (values: readonly number[]) =>
    new Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
  return {
    info: { version: env.version, wasm: name, threads: wasm.numThreads },
    async generate(prompt, newTokens) {
      const clock = new TokenClock();
      await model.generate({
        ...{ input_ids: tensor(prompt), attention_mask: tensor(prompt.map(() => 1)) },
        ...{ max_new_tokens: newTokens, do_sample: false, streamer: new ClockStreamer(clock) },
      } as unknown as Parameters<typeof model.generate>[0]);
      return clock.stop();
    },
  };
});
