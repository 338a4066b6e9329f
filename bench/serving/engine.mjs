/**
 * The engine alone: as many generations at once as there would be clients, each followed by the next. Reads one line of
 * JSON for each measurement, `{ clients, requests, maxTokens, first }`, and writes one, `{ seconds, tokens }`.
 */
import { createInterface } from "node:readline";
import { load } from "../../dist/index.js";
import { requestOf } from "./requests.mjs";

const { model, options } = JSON.parse(process.argv[2]);
const lm = await load(model, options);
process.stdout.write("{}\n");

for await (const line of createInterface({ input: process.stdin })) {
  const { clients, requests, maxTokens, first } = JSON.parse(line);
  let next = first;
  let tokens = 0;
  const start = performance.now();
  await Promise.all(
    Array.from({ length: clients }, async () => {
      while (next < first + requests) {
        const { prompt, seed } = requestOf(next++);
        for await (const piece of lm.generate(prompt, { maxTokens, seed, ignoreEos: true })) {
          tokens += piece.tokens.length;
        }
      }
    }),
  );
  process.stdout.write(`${JSON.stringify({ seconds: (performance.now() - start) / 1000, tokens })}\n`);
}
await lm.dispose();
