/** `lastrow cache`: runs prompts together and shows which sequence held which block of the KV cache. */

import { LastrowError } from "../../errors.js";
import { BlockMap } from "../../kv-cache/block-map.js";
import { printable } from "../../printable.js";
import type { EngineEvent } from "../../protocol/engine-stats.js";
import type { GenerationResult } from "../../protocol/generation-request.js";
import { requestedStop } from "../exit.js";
import { formatCount } from "../format.js";
import { type Json, toJson } from "../json.js";
import { loadModel } from "../model.js";
import { type EngineOptions, type OutputOptions, type SamplingOptions, samplingFor } from "../options.js";
import { spinner } from "../progress.js";
import { type Colours, coloursFor, columnsOf, type Io, write } from "../terminal.js";

export interface CacheCommandOptions extends EngineOptions, SamplingOptions, OutputOptions {}

/** What is generated for each prompt by default. */
export const DEFAULT_CACHE_TOKENS = 24;

const BEGINNING =
  "Once upon a time, there was a little girl named Lily. She lived in a small house near a big forest with her mom, her dad and a brown dog. One day,";
const DEFAULT_PROMPTS = [
  `${BEGINNING} she found a red ball.`,
  `${BEGINNING} it began to rain.`,
  `${BEGINNING} the dog was gone!`,
  `${BEGINNING} a bird came to the window and said hello.`,
];

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** One prompt and what became of it. */
interface ShownPrompt {
  readonly letter: string;
  readonly prompt: string;
  readonly result: GenerationResult;
}

/** The blocks at one moment. */
interface Moment {
  /** Step that was about to be computed. */
  readonly step: number;
  /** By prompt: its blocks, in order of position. */
  readonly tables: readonly (readonly number[])[];
  /** By block: the prompts that hold it. */
  readonly owners: readonly (readonly number[])[];
  readonly isCached: readonly boolean[];
}

/** @returns the exit code */
export async function cache(
  prompts: readonly string[],
  options: CacheCommandOptions,
  io: Io,
): Promise<number> {
  const sampling = samplingFor(options);
  const texts = prompts.length === 0 ? DEFAULT_PROMPTS : prompts;
  if (texts.length > LETTERS.length) {
    throw new LastrowError(
      "invalid_argument",
      `At most ${LETTERS.length} prompts can be shown, a letter for each.`,
    );
  }
  const model = await loadModel(options, io);
  const events: EngineEvent[] = [];
  const listening = (async () => {
    for await (const event of model.events()) {
      if (event.type === "dropped")
        throw new LastrowError(
          "invalid_argument",
          "There are too many events to show; use fewer prompts or tokens.",
        );
      events.push(event);
    }
  })();
  const stopWaiting = spinner(io, `generating for ${texts.length} prompts at once`);
  let results: GenerationResult[];
  try {
    const run = {
      ...sampling,
      maxTokens: options.maxTokens ?? DEFAULT_CACHE_TOKENS,
      signal: io.signal,
    };
    results = await Promise.all(texts.map((text) => model.generate(text, run).result()));
  } finally {
    stopWaiting();
    // Ends the stream of events, once the last one is read.
    await model.dispose();
    await listening;
  }
  if (requestedStop(io.signal) !== null) return 1;

  const shown = results.map((result, i) => ({ letter: LETTERS[i], prompt: texts[i], result }));
  const { kv, label } = model.info;
  const { fullest, end } = momentsOf(events, kv.blocks, texts.length);
  if (options.json === true) {
    await write(io, `${toJson(reportObject(shown, { model: label, kv, fullest, end, events }))}\n`);
    return 0;
  }
  const style = { colours: coloursFor(io.stdout, io.env), width: Math.min(columnsOf(io.stdout), 100) };
  const heading = `${label}: ${formatCount(kv.blocks)} KV blocks of ${kv.blockSize} positions, ${kv.dtype}`;
  await write(io, `${style.colours.bold(printable(heading))}\n\n${render(shown, { fullest, end }, style)}`);
  return 0;
}

/** The moment when sequences held the most blocks, and the end, from the events alone. */
function momentsOf(
  events: readonly EngineEvent[],
  numBlocks: number,
  numPrompts: number,
): { fullest: Moment; end: Moment } {
  // Sequences are numbered in the order in which the prompts were asked for.
  const ids = [...new Set(events.flatMap((event) => (event.type === "allocated" ? [event.sequence] : [])))];
  ids.sort((a, b) => a - b);
  const map = new BlockMap(numBlocks);
  const moment = (step: number): Moment => {
    const tables = Array.from({ length: numPrompts }, (_, i) => [...map.blocksOf(ids[i] ?? -1)]);
    const owners: number[][] = Array.from({ length: numBlocks }, () => []);
    for (const [i, blocks] of tables.entries()) for (const block of blocks) owners[block].push(i);
    return { step, tables, owners, isCached: owners.map((_, block) => map.isPublished(block)) };
  };
  const heldIn = ({ tables }: Moment) => tables.reduce((sum, blocks) => sum + blocks.length, 0);
  let fullest = moment(0);
  let step = 0;
  for (const event of events) {
    if (event.type === "step") {
      step = event.step;
      const now = moment(step);
      if (heldIn(now) >= heldIn(fullest)) fullest = now;
    } else if (event.type !== "preempted") map.apply(event);
  }
  return { fullest, end: moment(step) };
}

interface Style {
  readonly colours: Colours;
  readonly width: number;
}

function render(
  shown: readonly ShownPrompt[],
  { fullest, end }: { readonly fullest: Moment; readonly end: Moment },
  style: Style,
): string {
  const { colours, width } = style;
  const lines = shown.map(({ letter, prompt, result }, i) => {
    const { numCachedTokens, promptTokens } = result;
    const facts = `${promptTokens} tokens, ${numCachedTokens} cached`;
    const room = width - 3 - facts.length - 2;
    return `${owned(letter, i, colours)}  ${fitted(printable(prompt), room).padEnd(room)}  ${colours.dim(facts)}`;
  });
  const title = (text: string) => ["", colours.bold(text), ""];
  const held = fullest.tables.reduce((sum, blocks) => sum + blocks.length, 0);
  const used = fullest.owners.filter((owners) => owners.length > 0).length;
  lines.push(
    ...title(`In step ${fullest.step}, when they held the most`),
    ...tableLines(shown, fullest, style),
    "",
    ...mapLines(fullest, style),
    ...title("In the end"),
    ...mapLines(end, style),
    "",
    `${colours.dim("A B C")} held by one   ${colours.green("2 3 4")} shared by so many   ${colours.cyan("○")} free, but found again   ${colours.dim("· free")}`,
    "",
    `${formatCount(used)} blocks held what would take ${formatCount(held)} without sharing.`,
  );
  return `${lines.join("\n")}\n`;
}

/** Each sequence's block table: the ids of its blocks, below their first positions. */
function tableLines(
  shown: readonly ShownPrompt[],
  { tables, owners }: Moment,
  { colours, width }: Style,
): string[] {
  const cell = 5;
  const longest = tables.reduce((most, blocks) => Math.max(most, blocks.length), 0);
  const columns = Math.min(longest, Math.floor((width - 8) / cell));
  const head = Array.from({ length: columns }, (_, i) => String(i * 16).padStart(cell)).join("");
  const rows = tables.map((blocks, i) => {
    const cells = blocks.slice(0, columns).map((block) => {
      const text = String(block).padStart(cell);
      return owners[block].length > 1 ? colours.green(text) : text;
    });
    const more = blocks.length > columns ? colours.dim(` +${blocks.length - columns}`) : "";
    return `${owned(shown[i].letter, i, colours)}  ${cells.join("")}${more}`;
  });
  return [colours.dim(`   ${head}   first position`), ...rows];
}

/** All blocks, a cell each; what was never used at the end is left out. */
function mapLines({ owners, isCached }: Moment, { colours, width }: Style): string[] {
  const perLine = Math.max(8, 2 ** Math.floor(Math.log2((width - 6) / 2)));
  const lastUsed = owners.findLastIndex((holders, block) => holders.length > 0 || isCached[block]);
  const numLines = Math.ceil((lastUsed + 1) / perLine);
  const lines = Array.from({ length: numLines }, (_, line) => {
    const cells = owners.slice(line * perLine, (line + 1) * perLine).map((holders, i) => {
      if (holders.length > 9) return colours.green("+");
      if (holders.length > 1) return colours.green(String(holders.length));
      if (holders.length === 1) return owned(LETTERS[holders[0]], holders[0], colours);
      return isCached[line * perLine + i] ? colours.cyan("○") : colours.dim("·");
    });
    return `${colours.dim(String(line * perLine).padStart(4))}  ${cells.join(" ")}`;
  });
  const rest = owners.length - numLines * perLine;
  if (rest > 0) lines.push(colours.dim(`      and ${formatCount(rest)} more that are free`));
  return lines;
}

/** A letter in its sequence's colour. */
function owned(letter: string, index: number, { yellow, magenta, blue, red }: Colours): string {
  return [yellow, magenta, blue, red][index % 4](letter);
}

/** The end of a text is what tells it from others that begin alike. */
function fitted(text: string, room: number): string {
  const line = text.replace(/\s+/g, " ");
  return line.length <= room ? line : `…${line.slice(line.length - room + 1)}`;
}

function reportObject(
  shown: readonly ShownPrompt[],
  report: {
    readonly model: string;
    readonly kv: { readonly blocks: number; readonly blockSize: number; readonly blockBytes: number };
    readonly fullest: Moment;
    readonly end: Moment;
    readonly events: readonly EngineEvent[];
  },
): Json {
  const { model, kv, fullest, end, events } = report;
  const momentObject = ({ step, tables, owners, isCached }: Moment): Json => ({
    step,
    sequences: tables.map((blocks, i) => ({ prompt: LETTERS[i], blocks })),
    shared: owners.flatMap((holders, block) => (holders.length > 1 ? [block] : [])),
    cached: owners.flatMap((holders, block) => (holders.length === 0 && isCached[block] ? [block] : [])),
  });
  return {
    model,
    kv: { blocks: kv.blocks, blockSize: kv.blockSize, blockBytes: kv.blockBytes },
    prompts: shown.map(({ letter, prompt, result }) => ({
      letter,
      prompt,
      promptTokens: result.promptTokens,
      numCachedTokens: result.numCachedTokens,
      rowsComputed: result.rowsComputed,
      text: result.text,
    })),
    fullest: momentObject(fullest),
    end: momentObject(end),
    events: events.map((event) => ({ ...event })),
  };
}
