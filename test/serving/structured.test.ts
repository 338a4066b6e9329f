/**
 * Hostile schemas, patterns and grammars over HTTP, of two keys at once: an answer, or a 400 that names the field; never a 500. It says
 * how long the event loop was held. `RUNS=20000` for the long form.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { createServer, LastrowServer } from "../../src/server/index.js";
import { hostileGbnf, hostilePattern, hostileSchema } from "../grammars/hostile-specs.js";
import { soon } from "../soon.js";

const RUNS = Number(process.env.RUNS ?? 300);
/** For all of them, on a machine that has other things to do. */
const MOST_MS = 60_000 + 200 * RUNS;
const KEYS = ["sk-first-0123456789", "sk-second-0123456789"];

let folder: string;
let server: LastrowServer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-schemas-"));
  await writeFile(join(folder, "keys.txt"), `first ${KEYS[0]}\nsecond ${KEYS[1]}\n`);
  // The build's: only there has compiling a thread of its own.
  const built: { createServer: typeof createServer } = await import("../../dist/server/index.js" as string);
  server = await built.createServer({ threads: 1, apiKeys: join(folder, "keys.txt") });
});
afterAll(async () => {
  await server.dispose();
  await rm(folder, { recursive: true });
});

const ask = (by: number, body: string, signal?: AbortSignal) =>
  server.fetch(
    new Request("http://127.0.0.1:8080/v1/completions", {
      method: "POST",
      ...(signal === undefined ? {} : { signal }),
      headers: { "content-type": "application/json", authorization: `Bearer ${KEYS[by]}` },
      body,
    }),
  );

const body = fc.oneof(
  {
    weight: 5,
    arbitrary: hostileSchema.map((one) => ({
      response_format: { type: "json_schema", json_schema: { schema: one } },
    })),
  },
  hostilePattern.map((guided_regex) => ({ guided_regex })),
  hostileGbnf.map((grammar) => ({ grammar: grammar === "" ? " " : grammar })),
);

test("no schema, no pattern and no grammar is too much for it", { timeout: MOST_MS }, async () => {
  const tally: Record<string, number> = {};
  const rightSchema = JSON.stringify({ prompt: "Once", max_tokens: 4, guided_json: { type: "integer" } });
  await (await ask(0, rightSchema)).text();
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const held: number[] = [];
  await fc.assert(
    fc.asyncProperty(fc.array(body, { minLength: 2, maxLength: 2 }), async (bodies) => {
      const texts = bodies.map((one) => JSON.stringify({ prompt: "Once", max_tokens: 4, ...one }));
      delay.enable();
      delay.reset();
      const answers = await Promise.all(texts.map((text, by) => ask(by, text)));
      const said = await Promise.all(answers.map((answer) => answer.text()));
      held.push(delay.max / 1e6);
      delay.disable();
      for (const [i, { status }] of answers.entries()) {
        tally[status] = (tally[status] ?? 0) + 1;
        expect([200, 400], `${texts[i]} ${said[i]}`).toContain(status);
        if (status === 200) continue;
        const { error } = JSON.parse(said[i]);
        expect(error.param, said[i]).toMatch(/^(response_format|guided_regex|grammar)/);
        expect(error.message.startsWith(error.param), said[i]).toBe(true);
      }
    }),
    { numRuns: RUNS / 2, endOnFailure: true },
  );
  expect(tally[200]).toBeGreaterThan(RUNS / 50);
  expect(tally[400]).toBeGreaterThan(RUNS / 4);
  held.sort((a, b) => a - b);
  const most = held.at(-1)!;
  process.stdout.write(
    `${JSON.stringify(tally)}, the event loop held for at most ${most.toFixed(0)} ms, mostly ${held[held.length >> 1].toFixed(0)}\n`,
  );
});

/** Few characters, about a second of compiling; each is another. */
const slow = (seed: number) => ({
  guided_json: {
    prefixItems: Array.from({ length: 30 }, (_, i) => ({ pattern: `^${seed}-${i}(a|b)*a(a|b){9}$` })),
  },
});

test("slow compiles of a client that has left hold nothing up, neither its own key nor another", async () => {
  const of = (one: object) => JSON.stringify({ prompt: "Once", max_tokens: 4, ...one });
  const quick = (seed: number) => of({ guided_json: { type: "integer", maximum: seed } });
  await (await ask(1, quick(0))).text();
  const took = async (answer: Promise<Response>) => {
    const start = performance.now();
    const { status } = await answer;
    return { status, ms: performance.now() - start };
  };
  const alone = await took(ask(0, of(slow(0))));
  expect(alone.status).toBe(200);
  const client = new AbortController();
  const leaving = Array.from({ length: 12 }, (_, i) => ask(0, of(slow(i + 1)), client.signal));
  // Each waits to be compiled, or is.
  await soon(() => expect(server.service.admission.running).toBeGreaterThan(12));
  client.abort();
  for (const { status } of await Promise.all(leaving)) expect(status).toBe(499);
  const after = await Promise.all([0, 1].map((by) => took(ask(by, quick(by + 1)))));
  for (const { status, ms } of after) {
    expect(status).toBe(200);
    expect(ms).toBeLessThan(alone.ms / 2);
  }
}, 120_000);
