/**
 * How long restoring a saved sequence takes, against computing its rows: interleaved, several rounds, for both types of
 * weights and of K and V.
 */
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LanguageModel, load } from "lastrow";
import { spreadOf } from "../../src/bench/spread.js";
import { formatDuration } from "../../src/cli/format.js";
import { atLeastOne } from "../../src/cli/options.js";
import { renderTable } from "../../src/cli/table.js";
import { coloursFor } from "../../src/cli/terminal.js";
import { benchCommand, type CommonOptions } from "../command.js";
import { randomGpt2 } from "../random-gpt2.js";

const options = benchCommand(
  "bench:restore",
  "How long restoring a saved sequence takes, in turns with computing its rows.",
  { rounds: 5, examples: ["--tokens 500"] },
)
  .option("--tokens <count>", "tokens of the sequence", atLeastOne, 1000)
  .parse()
  .opts<CommonOptions & { tokens: number }>();
const { tokens, rounds, threads } = options;
const model = options.model ?? (await randomGpt2());

const folder = await mkdtemp(join(tmpdir(), "lastrow-bench-"));
const rows: Awaited<ReturnType<typeof measure>>[] = [];
try {
  for (const dtype of ["f32", "int8"] as const) {
    for (const kvDtype of ["f32", "int8"] as const) {
      await using lm = await load(model, { dtype, kvDtype, threads });
      process.stderr.write(`${dtype} weights, ${kvDtype} K and V\n`);
      rows.push(await measure(lm));
    }
  }
} finally {
  await rm(folder, { recursive: true });
}

if (options.json) {
  process.stdout.write(`${JSON.stringify({ node: process.version, tokens, rounds, rows })}\n`);
} else {
  const table = renderTable(coloursFor(process.stdout, process.env), {
    head: ["weights", "K and V", "file", "computed", "saved", "restored", "", "faster"],
    rows: rows.map(({ dtype, kvDtype, megabytes, computed, saved, restored, timesFaster }) => [
      dtype,
      kvDtype,
      `${megabytes.toFixed(1)} MB`,
      formatDuration(computed.median),
      formatDuration(saved.median),
      formatDuration(restored.median),
      `${formatDuration(restored.min)} to ${formatDuration(restored.max)}`,
      `${timesFaster.toFixed(1)} ×`,
    ]),
    rightAligned: [2, 3, 4, 5, 6, 7],
  });
  process.stdout.write(
    `${table}\n\n${tokens} tokens · medians of ${rounds} rounds · Node ${process.version}\n`,
  );
}

async function measure(lm: LanguageModel) {
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
  const [computed, saved, restored] = [prefill, save, restore].map(spreadOf);
  return {
    dtype: lm.info.dtype,
    kvDtype: lm.info.kv.dtype,
    threads: lm.info.threads,
    megabytes: (await stat(path)).size / 1e6,
    ...{ computed, saved, restored },
    timesFaster: computed.median / restored.median,
  };
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
