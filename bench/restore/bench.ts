/**
 * How long restoring a saved sequence takes, against computing its rows: interleaved, several rounds, for both types of
 * weights and of K and V. `npm run bench:restore -- --model FOLDER`; scripts/make-random-model.ts makes a folder.
 */
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { type LanguageModel, load } from "lastrow";
import { atLeastOne } from "../../src/cli/options.js";

interface Options {
  readonly model: string;
  readonly tokens: number;
  readonly rounds: number;
  readonly threads: number;
}

const { model, tokens, rounds, threads } = new Command("bench:restore")
  .requiredOption("--model <folder>", "the model")
  .option("--tokens <count>", "tokens of the sequence", atLeastOne, 1000)
  .option("--rounds <count>", "rounds", atLeastOne, 5)
  .option("--threads <count>", "threads", atLeastOne, 2)
  .parse()
  .opts<Options>();

const folder = await mkdtemp(join(tmpdir(), "lastrow-bench-"));
try {
  for (const dtype of ["f32", "int8"] as const) {
    for (const kvDtype of ["f32", "int8"] as const) {
      await using lm = await load(model, { dtype, kvDtype, threads });
      await measure(lm, `${dtype} weights, ${kvDtype} K and V`);
    }
  }
} finally {
  await rm(folder, { recursive: true });
}

async function measure(lm: LanguageModel, name: string): Promise<void> {
  const prefill: number[] = [];
  const save: number[] = [];
  const restore: number[] = [];
  const path = join(folder, "sequence.kv.safetensors");
  // Rounds that are not counted compile what is hot, and use all of the KV memory once: the first touch takes longer.
  const { blocks, blockSize } = lm.info.kv;
  const warmUps = Math.ceil(blocks / (2 * Math.ceil(tokens / blockSize)));
  for (let round = -warmUps; round < rounds; round++) {
    const history = Array.from(
      { length: tokens },
      (_, i) => ((i + 7) * 7919 + round + warmUps) % lm.info.config.vocabSize,
    );
    // Salts keep the rounds from sharing what is to be measured.
    const computing = await timed(() => lm.sequence(history, { salt: `computed ${round}` }));
    const saving = await timed(() => computing.value.save(path));
    const restoring = await timed(() => lm.restore(path, { salt: `restored ${round}` }));
    if (!sameBits(computing.value.logits, restoring.value.logits)) throw new Error("the logits differ");
    await Promise.all([computing.value.dispose(), restoring.value.dispose()]);
    if (round < 0) continue;
    prefill.push(computing.ms);
    save.push(saving.ms);
    restore.push(restoring.ms);
  }
  const megabytes = (await stat(path)).size / 1e6;
  const ratio = median(prefill) / median(restore);
  process.stdout.write(
    `${name}: ${tokens} tokens (${megabytes.toFixed(1)} MB) computed in ${spread(prefill)}, saved in ${spread(save)}, restored in ${spread(restore)}: ${ratio.toFixed(1)} times as fast\n`,
  );
}

async function timed<T>(work: () => Promise<T>): Promise<{ value: T; ms: number }> {
  const start = performance.now();
  const value = await work();
  return { value, ms: performance.now() - start };
}

function sameBits(a: Float32Array, b: Float32Array): boolean {
  const bits = (values: Float32Array) => new Uint32Array(values.buffer, values.byteOffset, values.length);
  const other = bits(b);
  return bits(a).every((word, i) => word === other[i]);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2;
}

function spread(values: readonly number[]): string {
  return `${median(values).toFixed(0)} ms (${Math.min(...values).toFixed(0)} to ${Math.max(...values).toFixed(0)})`;
}
