/**
 * `npm run bench:speculation`: what `speculate` brings and costs, by text, off against on, which take turns. The model computes what it
 * always computes, and is then made to say a given text: so the same texts, from such as never repeat themselves to such as
 * only do that, are measured with any weights. With one thread the processor's time counts. Exit code 1 when a text takes more than 3 % longer.
 */
import { renderTable } from "../../src/cli/table.js";
import { coloursFor } from "../../src/cli/terminal.js";
import { startInProcess } from "../../src/engine/in-process.js";
import { CONVERTED_DTYPES, type ConvertedDtype } from "../../src/kernels/weight-types.js";
import { LanguageModel } from "../../src/library/language-model.js";
import { loadParts } from "../../src/library/load.js";
import type { GenerationOutcome } from "../../src/protocol/generation-outcome.js";
import { benchCommand, type CommonOptions, machine, typeOption } from "../command.js";
import { randomGpt2 } from "../random-gpt2.js";
import { type ForcedText, force, halves, type Measured, TimedGeneration } from "./forced-generation.js";
import { TEXTS } from "./texts.js";

/** The most that a text may take longer than without. */
const MOST_SLOWER = 1.03;
const SPECULATED = 15;
/** Most tokens of an answer. */
const ANSWER_TOKENS = 256;

const {
  model: named,
  rounds,
  threads,
  dtype,
  json,
} = benchCommand(
  "bench:speculation",
  "What speculation brings and costs, by text. Exit code 1 when a text takes more than 3 % longer.",
  { rounds: 9, examples: ["--model stories", "--dtype int8 --rounds 5"] },
)
  .addOption(typeOption("--dtype", "type of the weights", CONVERTED_DTYPES))
  .parse()
  .opts<CommonOptions & { dtype: ConvertedDtype }>();

const texts = await forcedTexts();
// The core is stepped by hand, so it is in this thread.
const { connection, host } = startInProcess();
const source = named === "stories" ? undefined : (named ?? (await randomGpt2()));
const { info } = await loadParts(source, { dtype, threads }, async () => connection);
const cores = halves(host.core);
const clock = info.threads === 1 ? processorMs : () => performance.now();
// The first passes are slower: memory is touched for the first time, and code is compiled.
runBeside(texts[0], true);
const measured = texts.map((text) => measure(text));
await host.core.kernels.dispose();

const run = `${info.label}, ${info.dtype} weights, ${info.threads} threads, up to ${SPECULATED} proposals, medians of ${rounds} rounds${info.threads === 1 ? " by the processor's time" : ""}; ${machine()}`;
if (json) process.stdout.write(`${JSON.stringify({ run, texts: measured }, null, 2)}\n`);
else process.stdout.write(`${table()}\n${run}\n`);
if (measured.some(({ faster }) => faster < 1 / MOST_SLOWER)) process.exitCode = 1;

function measure(text: ForcedText) {
  const ratios: number[] = [];
  let last: GenerationOutcome | undefined;
  for (let round = 0; round < rounds; round++) {
    const [off, on] = runBeside(text, round % 2 === 0);
    ratios.push(off.ms / on.ms);
    last = on.outcome;
  }
  ratios.sort((a, b) => a - b);
  const { passes, proposed, accepted } = last!;
  return {
    ...{ name: text.name, tokens: text.answer.length, passes, proposed, accepted },
    ...{ faster: ratios[ratios.length >> 1], least: ratios[0], most: ratios.at(-1)! },
  };
}

/** One generation without and one with speculation, which take turns a step at a time: what disturbs one disturbs the other. */
function runBeside(text: ForcedText, offFirst: boolean): [Measured, Measured] {
  const stop = force(host.core, [...text.prompt, ...text.answer]);
  const off = new TimedGeneration(cores[0], text, { speculate: 0, clock });
  const on = new TimedGeneration(cores[1], text, { speculate: SPECULATED, clock });
  const turns = offFirst ? [off, on] : [on, off];
  while (turns.some(({ outcome }) => outcome === null)) for (const generation of turns) generation.step();
  stop();
  return [off.result, on.result];
}

/** One thread's work, by its own time, which others at work hardly disturb. */
function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function forcedTexts(): Promise<ForcedText[]> {
  const { connection } = startInProcess();
  const lm = new LanguageModel(await loadParts(undefined, {}, async () => connection));
  let state = 1;
  const random = (length: number) =>
    Array.from({ length }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return 3 + Math.floor((state / 2 ** 32) * 2000);
    });
  const start = lm.promptTokens("Once upon a time");
  const story = async (temperature: number) =>
    (await lm.generate(start, { temperature, seed: 1, maxTokens: ANSWER_TOKENS, ignoreEos: true }).result())
      .tokens;
  const forced = [
    { name: "random tokens", prompt: random(32), answer: random(ANSWER_TOKENS) },
    { name: "story, temperature 0.8", prompt: start, answer: await story(0.8) },
    { name: "story, greedy", prompt: start, answer: await story(0) },
    ...TEXTS.map(({ name, prompt, answer }) => {
      const whole = lm.tokenizer!.encode(prompt + answer);
      const from = lm.tokenizer!.encode(prompt).length;
      return { name, prompt: whole.slice(0, from), answer: whole.slice(from, from + ANSWER_TOKENS) };
    }),
  ];
  await lm.dispose();
  return forced;
}

function table(): string {
  const colours = coloursFor(process.stdout, process.env);
  return renderTable(colours, {
    head: ["text", "tokens", "passes", "proposed", "accepted", "faster", "least", "most", ""],
    rows: measured.map(({ name, tokens, passes, proposed, accepted, faster, least, most }) => [
      ...[name, String(tokens), String(passes), String(proposed), String(accepted)],
      ...[`× ${faster.toFixed(3)}`, least.toFixed(2), most.toFixed(2)],
      faster >= 1 / MOST_SLOWER ? colours.green("✔") : colours.red("✘"),
    ]),
    rightAligned: [1, 2, 3, 4, 5, 6, 7],
  });
}
