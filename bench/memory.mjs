/**
 * `npm run bench:memory -- FOLDER`: what a process takes while it loads a model and after, in resident memory, against the
 * weights. JavaScript, so that nothing but the model and what runs it is in the process. K and V are reserved and not yet
 * touched: only those of the few tokens that are generated are resident.
 *
 *   --dtype, --context, --kv-memory   as in `lastrow generate`
 *   --json                            one JSON object, in bytes
 *   --serve                           a server instead of a model alone: another tokenizer, in its text thread
 */
import { parseArgs } from "node:util";
import { load } from "lastrow";
import { createServer } from "lastrow/server";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    dtype: { type: "string" },
    context: { type: "string" },
    "kv-memory": { type: "string" },
    serve: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const [model] = positionals;
const peak = () => process.resourceUsage().maxRSS * 1024;
const resident = () => process.memoryUsage.rss();

const before = resident();
const options = {
  dtype: values.dtype,
  contextLength: values.context === undefined ? undefined : Number(values.context),
  kvMemory: values["kv-memory"],
};
const start = performance.now();
const running = await (values.serve ? createServer({ model, ...options }) : load(model, options));
const seconds = (performance.now() - start) / 1000;
const { dtype, weightBytes, memoryBytes, kv, contextLength } = (values.serve ? running.loaded[0] : running)
  .info;
const loading = { peak: peak(), after: resident() };

const prompt = Array.from({ length: 300 }, (_, i) => i + 100);
if (values.serve) {
  const body = JSON.stringify({ model: running.loaded[0].id, prompt, max_tokens: 20, ignore_eos: true });
  const headers = { "content-type": "application/json" };
  const answer = await running.fetch(
    new Request("http://localhost/v1/completions", { method: "POST", headers, body }),
  );
  if (!answer.ok) throw new Error(await answer.text());
} else {
  await running.generate(prompt, { maxTokens: 20, ignoreEos: true }).result();
  running.tokenizer?.encode("Tom had a red ball. ".repeat(100), { parseSpecial: true });
}
const touched = Math.ceil((prompt.length + 20) / kv.blockSize) * kv.blockBytes;
const after = resident();
const beside = peak() - weightBytes - touched;
await running.dispose();

if (values.json) {
  const sizes = {
    weights: weightBytes,
    kv: kv.bytes,
    touchedKv: touched,
    before,
    loading,
    after,
    peak: peak(),
  };
  process.stdout.write(`${JSON.stringify({ dtype, contextLength, seconds, ...sizes, beside })}\n`);
} else {
  const row = (what, bytes, note = "") =>
    `${what.padEnd(28)}${(bytes / 1e6).toFixed(0).padStart(6)} MB${note === "" ? "" : `  ${note}`}\n`;
  process.stdout.write(
    [
      row("before", before),
      row(`weights (${dtype})`, weightBytes),
      row("K and V, reserved", kv.bytes, `context of ${contextLength.toLocaleString("en-US")} tokens`),
      row("working memory", memoryBytes - weightBytes - kv.bytes, "scores, rows, logits, staging"),
      row("peak while loading", loading.peak, `${seconds.toFixed(1)} s`),
      row("after loading", loading.after),
      row("after 320 tokens", after, `of them K and V: ${(touched / 1e6).toFixed(0)} MB`),
      row("peak", peak()),
      row("peak beside weights, K, V", beside),
    ].join(""),
  );
}
