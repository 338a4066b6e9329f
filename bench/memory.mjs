/**
 * `npm run bench:memory -- FOLDER`: what a process takes while it loads a model and after, in resident memory, against the
 * weights. JavaScript, so that nothing but the model and what runs it is in the process. K and V are reserved and not yet
 * touched: only those of the few tokens that are generated are resident.
 *
 *   --dtype, --context, --kv-memory   as in `lastrow generate`
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
  },
});
const [model] = positionals;
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(0).padStart(6)} MB`;
const peak = () => process.resourceUsage().maxRSS * 1024;
const say = (what, bytes, note = "") =>
  process.stdout.write(`${what.padEnd(28)}${megabytes(bytes)}${note === "" ? "" : `  ${note}`}\n`);

say("before", process.memoryUsage.rss());
const options = {
  dtype: values.dtype,
  contextLength: values.context === undefined ? undefined : Number(values.context),
  kvMemory: values["kv-memory"],
};
const start = performance.now();
const running = await (values.serve ? createServer({ model, ...options }) : load(model, options));
const seconds = (performance.now() - start) / 1000;
const { dtype, weightBytes, memoryBytes, kv, contextLength } = (values.serve ? running.served : running).info;
say(`weights (${dtype})`, weightBytes);
say("K and V, reserved", kv.bytes, `context of ${contextLength.toLocaleString("en-US")} tokens`);
say("working memory", memoryBytes - weightBytes - kv.bytes, "scores, rows, logits, staging");
say("peak while loading", peak(), `${seconds.toFixed(1)} s`);
say("after loading", process.memoryUsage.rss());

const prompt = Array.from({ length: 300 }, (_, i) => i + 100);
if (values.serve) {
  const body = JSON.stringify({ model: running.served.id, prompt, max_tokens: 20, ignore_eos: true });
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
say("after 320 tokens", process.memoryUsage.rss(), `of them K and V: ${megabytes(touched).trim()}`);
say("peak", peak());
say("peak beside weights, K, V", peak() - weightBytes - touched);
await running.dispose();
