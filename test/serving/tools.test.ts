/**
 * Hostile tools, choices and calls over HTTP, of two keys at once: an answer, or a 400 that names the field; never a 500.
 * `RUNS=20000` for the long form.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { anyCharacter } from "../any-text.js";
import { hostileSchema } from "../grammars/hostile-specs.js";
import { type Served, served } from "../server/served.js";

const RUNS = Number(process.env.RUNS ?? 300);
/** For all of them, on a machine that has other things to do. */
const MOST_MS = 60_000 + 200 * RUNS;
const KEYS = ["sk-first-0123456789", "sk-second-0123456789"];

let folder: string;
let api: Served;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "lastrow-tools-"));
  await writeFile(join(folder, "keys.txt"), `first ${KEYS[0]}\nsecond ${KEYS[1]}\n`);
  const chatTemplate = `{% if tools %}<tool_call>{{ tools | tojson }}{% endif %}{% for m in messages %}{{ m.role }}: {{ m.content }}
{% for c in m.tool_calls or [] %}{{ c | tojson }}{% endfor %}{% endfor %}`;
  api = await served({ apiKeys: join(folder, "keys.txt"), chatTemplate });
});
afterAll(async () => {
  await api[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const ask = (by: number, body: string) =>
  api.post("/v1/chat/completions", body, { headers: { authorization: `Bearer ${KEYS[by]}` } });

const text = fc.oneof(
  fc.constantFrom("f", "g", "a b", "<|endoftext|>"),
  fc.string({ unit: anyCharacter, maxLength: 8 }),
);
const tools = fc.array(
  fc.record({
    type: fc.constant("function"),
    function: fc.record(
      { name: text, description: text, parameters: hostileSchema },
      { requiredKeys: ["name"] },
    ),
  }),
  { maxLength: 3 },
);
const call = fc.record({
  id: text,
  type: fc.constant("function"),
  function: fc.record({
    name: text,
    arguments: fc.oneof(fc.json({ maxDepth: 3 }), fc.constant('{"a":1.0}'), text),
  }),
});
const message = fc.oneof(
  fc.record({ role: fc.constant("user"), content: text }),
  fc.record({ role: fc.constant("assistant"), tool_calls: fc.array(call, { maxLength: 2 }), content: text }),
  fc.record({ role: fc.constant("tool"), tool_call_id: text, content: text }),
);
const chat = fc.record({
  tools,
  tool_choice: fc.oneof(
    fc.constantFrom("auto", "required", "none"),
    fc.record({ type: fc.constant("function"), function: fc.record({ name: text }) }),
  ),
  messages: fc.array(message, { minLength: 1, maxLength: 3 }),
});

test("no tools and no calls are too much for it", { timeout: MOST_MS }, async () => {
  const tally: Record<string, number> = {};
  await fc.assert(
    fc.asyncProperty(fc.array(chat, { minLength: 2, maxLength: 2 }), async (bodies) => {
      const texts = bodies.map((one) => JSON.stringify({ max_tokens: 4, ...one }));
      const answers = await Promise.all(texts.map((one, by) => ask(by, one)));
      for (const [i, answer] of answers.entries()) {
        const said = await answer.text();
        tally[answer.status] = (tally[answer.status] ?? 0) + 1;
        expect([200, 400], `${texts[i]} ${said}`).toContain(answer.status);
        if (answer.status === 400) {
          expect(JSON.parse(said).error.param, said).toMatch(/^(tools|tool_choice|messages)/);
        }
      }
    }),
    { numRuns: RUNS / 2, endOnFailure: true },
  );
  expect(tally[200]).toBeGreaterThan(RUNS / 100);
  expect(tally[400]).toBeGreaterThan(RUNS / 4);
  process.stdout.write(`${JSON.stringify(tally)}\n`);
});
