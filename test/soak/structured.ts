/**
 * `npm run test:structured`: answers of the embedded model, which knows nothing of JSON, at temperature 1.5 and held to
 * random schemas and tools of bounded lengths, many at once. At least nine in ten end by themselves, all of those parse and
 * validate (ajv), the others say `length`; and each tenth is asked for alone, too, and has the same tokens.
 *
 *   npm run test:structured -- --answers 10000 --seed 1
 */
import { parseArgs } from "node:util";
import { Ajv2020, type ErrorObject } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { type GenerationResult, type LanguageModel, load } from "../../src/index.js";
import { answerParts } from "../../src/library/answer-parts.js";
import { CALL_FORMATS, callFormat } from "../../src/tools/call-format.js";
import type { ToolDefinition } from "../../src/tools/tool.js";
import { randomParameters, randomSchema } from "../grammars/random-schemas.js";
import { seededRandom } from "../seeded-random.js";

const { values } = parseArgs({
  options: { answers: { type: "string", default: "10000" }, seed: { type: "string", default: "1" } },
});
const [answers, seed] = [Number(values.answers), Number(values.seed)];
if (!(Number.isInteger(answers) && answers >= 100 && Number.isInteger(seed))) {
  process.stderr.write("--answers is a whole number, at least 100, and --seed a whole number.\n");
  process.exit(2);
}

/** Schemas, and sets of tools. */
const SCHEMAS = 200;
const TOOL_SETS = 40;
/** Answers under way at once. */
const AT_ONCE = 24;
const MAX_TOKENS = 400;
const PROGRESS_MS = 10_000;
const PROMPTS = ["Once upon a time", "Tom had a red ball.", "{", "The cat sat on the mat and said"];

/** Something that answers are held to: asks for one, and says what is wrong with a whole one. */
interface Held {
  readonly what: string;
  ask(seed: number): Promise<GenerationResult>;
  /** Null: nothing. */
  wrong(result: GenerationResult): unknown;
}

const random = seededRandom(seed);
const ajv = new Ajv2020({ strict: false, validateFormats: true });
addFormats.default(ajv);
await using model = await load("stories", { threads: 1, kvMemory: "64MiB" });
const all = [
  ...Array.from({ length: SCHEMAS }, () => ofSchema(model, randomSchema(random))),
  ...Array.from({ length: TOOL_SETS }, (_, i) => ofTools(model, i)),
];

/** The tokens of each tenth answer, to be had again alone. */
const kept = new Map<number, string>();
const start = performance.now();
let shown = start;
let [asked, ended, cut] = [0, 0, 0];
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    while (asked < answers) await answer(asked++);
  }),
);
for (const [index, tokens] of [...kept].reverse()) {
  const alone = await heldOf(index).ask(index);
  if (alone.tokens.join() !== tokens) fail(index, alone, "it has other tokens alone than beside others");
}
process.stdout.write(
  `${answers} answers to ${SCHEMAS} schemas and ${TOOL_SETS} sets of tools: ${ended} ended by themselves and are valid, ${cut} say length; ${kept.size} of them alone have the same tokens: ${seconds()} s\n`,
);
if (ended < 0.9 * answers) throw new Error(`only ${ended} of ${answers} ended by themselves`);

async function answer(index: number): Promise<void> {
  const held = heldOf(index);
  const result = await held.ask(index);
  if (index % 10 === 0) kept.set(index, result.tokens.join());
  if (result.finishReason === "length") cut += 1;
  else {
    const wrong = held.wrong(result);
    if (wrong !== null) fail(index, result, wrong);
    ended += 1;
  }
  if (performance.now() - shown < PROGRESS_MS) return;
  shown = performance.now();
  process.stdout.write(`${ended + cut} answers, ${cut} of them cut: ${seconds()} s\n`);
}

/** One after the other, so that few grammars are in use at once. */
function heldOf(index: number): Held {
  return all[Math.floor((index / answers) * all.length)];
}

function ofSchema(lm: LanguageModel, schema: Record<string, unknown>): Held {
  const validate = ajv.compile(schema);
  return {
    what: JSON.stringify(schema),
    ask: (of) => lm.generate(promptOf(of), { schema, ...options(of) }).result(),
    wrong: ({ finishReason, text }) =>
      finishReason === "stop" && validate(JSON.parse(text)) ? null : (validate.errors ?? "no JSON"),
  };
}

function ofTools(lm: LanguageModel, index: number): Held {
  const name = CALL_FORMATS[index % CALL_FORMATS.length];
  const tools = Array.from({ length: 1 + (index % 4) }, (_, i): ToolDefinition => {
    return { name: `tool_${i}`, description: "A tool.", parameters: randomParameters(random) };
  });
  const choice = index % 3 === 0 ? ({ name: "tool_0" } as const) : ("required" as const);
  const held = { format: callFormat(name, lm.tokenizer!), tools, choice, parallel: false };
  const validates = tools.map(({ parameters }) => ajv.compile(parameters as object));
  return {
    what: JSON.stringify({ name, choice, tools }),
    ask: (of) => lm.answer(promptOf(of), options(of), answerParts({ thoughts: null, tools: held })).result(),
    wrong: ({ finishReason, toolCalls = [] }) => {
      if (finishReason !== "tool_calls" || toolCalls.length !== 1)
        return `${finishReason}, ${toolCalls.length} calls`;
      const [call] = toolCalls;
      const validate = validates[tools.findIndex((tool) => tool.name === call.name)];
      if (typeof choice === "object" && call.name !== choice.name) return `a call of ${call.name}`;
      return validate(JSON.parse(call.arguments)) ? null : (validate.errors as ErrorObject[]);
    },
  };
}

function promptOf(index: number): string {
  return PROMPTS[index % PROMPTS.length];
}

function options(index: number) {
  return { temperature: 1.5, seed: index, maxTokens: MAX_TOKENS };
}

function fail(index: number, result: GenerationResult, wrong: unknown): never {
  throw new Error(
    `answer ${index}, ${heldOf(index).what}: ${JSON.stringify(wrong)}\n${JSON.stringify(result.text)} ${JSON.stringify(result.toolCalls)}`,
  );
}

function seconds(): number {
  return Math.round((performance.now() - start) / 1000);
}
