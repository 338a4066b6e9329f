/** `lastrow cache`: runs prompts together and shows which sequence held which block of the KV cache. */

import { LastrowError } from "../../errors.js";
import { BlockMap, type MappedRun } from "../../kv-cache/block-map.js";
import type { ModelInfo } from "../../library/model-info.js";
import { printable } from "../../printable.js";
import type { EngineEvent } from "../../protocol/engine-stats.js";
import type { GenerationResult } from "../../protocol/generation-request.js";
import { requestedStop } from "../exit.js";
import { formatCount } from "../format.js";
import { type Json, toJson } from "../json.js";
import { loadModel } from "../model.js";
import { type EngineOptions, type OutputOptions, type SamplingOptions, samplingFor } from "../options.js";
import { spinner } from "../progress.js";
import { type Colours, coloursFor, columnsOf, type Io, lineRoomOf, wrapText, write } from "../terminal.js";

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
  /** By prompt and by group of layers: its blocks by their number in the sequence. */
  readonly tables: readonly (readonly MappedRun[])[];
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
  await write(
    io,
    `${style.colours.bold(wrapText(printable(heading), lineRoomOf(io.stdout)))}\n\n${render(shown, { fullest, end, kv }, style)}`,
  );
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
    const tables = Array.from({ length: numPrompts }, (_, i) =>
      map.runsOf(ids[i] ?? -1).map((run) => new Map(run)),
    );
    const owners: number[][] = Array.from({ length: numBlocks }, () => []);
    for (const [i, runs] of tables.entries()) for (const block of blocksIn(runs)) owners[block].push(i);
    return { step, tables, owners, isCached: owners.map((_, block) => map.isPublished(block)) };
  };
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

/** A sequence's blocks, group after group, in order of position. */
function blocksIn(runs: readonly MappedRun[]): number[] {
  return runs.flatMap((run) => [...run].sort(([a], [b]) => a - b).map(([, block]) => block));
}

/** Blocks that all sequences hold together, shared ones counted for each. */
function heldIn({ tables }: Moment): number {
  return tables.reduce((sum, runs) => sum + blocksIn(runs).length, 0);
}

interface Style {
  readonly colours: Colours;
  readonly width: number;
}

function render(
  shown: readonly ShownPrompt[],
  { fullest, end, kv }: { readonly fullest: Moment; readonly end: Moment; readonly kv: ModelInfo["kv"] },
  style: Style,
): string {
  const { colours, width } = style;
  const lines = shown.map(({ letter, prompt, result }, i) => {
    const { numCachedTokens, promptTokens } = result;
    const facts = `${promptTokens} tokens, ${numCachedTokens} cached`;
    const room = width - 3 - facts.length - 2;
    return `${owned(letter, i, colours)}  ${fitted(printable(prompt), room).padEnd(room)}  ${colours.dim(facts)}`;
  });
  const title = (text: string) => ["", colours.bold(wrapText(text, width)), ""];
  const held = heldIn(fullest);
  const used = fullest.owners.filter((owners) => owners.length > 0).length;
  lines.push(
    ...title(`Step ${fullest.step}, when they held the most: the block of each ${kv.blockSize} positions`),
    ...kindLines(shown, fullest, kv, style),
    ...title("All blocks then, from block 0 on, and what held each"),
    ...mapLines(fullest, style),
    ...title("All blocks in the end"),
    ...mapLines(end, style),
    "",
    wrapText(
      `${colours.dim("A B C")} held by one   ${colours.green("2 3 4")} shared by so many   ${colours.cyan("○")} free, but found again   ${colours.dim("· free")}`,
      width,
    ),
    "",
    wrapText(`${formatCount(used)} blocks held what would take ${formatCount(held)} without sharing.`, width),
  );
  return `${lines.join("\n")}\n`;
}

/** The block tables of each kind of layers: those of its first group, since the others' have the same positions. */
function kindLines(
  shown: readonly ShownPrompt[],
  moment: Moment,
  kv: ModelInfo["kv"],
  style: Style,
): string[] {
  const lines: string[] = [];
  let group = 0;
  for (const kind of kv.kinds) {
    const { window, layers, groups: numGroups } = kind;
    if (kv.kinds.length > 1 || window !== null) {
      const sight =
        window === null
          ? `that ${layers === 1 ? "sees" : "see"} everything`
          : `with a window of ${formatCount(window)}`;
      const others = numGroups === 1 ? "" : `, in ${numGroups} groups, of which the first is shown`;
      const heading = `${layers} ${layers === 1 ? "layer" : "layers"} ${sight}${others}: ${blockWords(moment, group, kind)}`;
      lines.push(...(lines.length === 0 ? [] : [""]), style.colours.dim(heading));
    }
    lines.push(...tableLines(shown, moment, group, style));
    group += numGroups;
  }
  return lines;
}

/** What the layers of a kind hold, and, where they have a window, how many blocks are behind it. */
function blockWords(
  { tables }: Moment,
  first: number,
  { window, groups }: ModelInfo["kv"]["kinds"][number],
): string {
  const held = new Set<number>();
  let behind = 0;
  for (const runs of tables) {
    for (const run of runs.slice(first, first + groups)) {
      for (const block of run.values()) held.add(block);
      if (run.size > 0) behind += Math.min(...run.keys());
    }
  }
  const blocks = `${formatCount(held.size)} ${held.size === 1 ? "block" : "blocks"}`;
  return window === null ? blocks : `${blocks}, ${formatCount(behind)} (·) given back`;
}

/** Each sequence's block table of a group of layers: the ids of its blocks, below their first positions. */
function tableLines(
  shown: readonly ShownPrompt[],
  { tables, owners }: Moment,
  group: number,
  { colours, width }: Style,
): string[] {
  const cell = 5;
  const runs = tables.map((ofGroups): MappedRun => ofGroups[group] ?? new Map());
  const ends = runs.map((run) => Math.max(0, ...[...run.keys()].map((index) => index + 1)));
  const longest = Math.max(...ends);
  const columns = Math.min(longest, Math.floor((width - 8) / cell));
  const head = Array.from({ length: columns }, (_, i) => String(i * 16).padStart(cell)).join("");
  const rows = runs.map((run, i) => {
    const cells = Array.from({ length: Math.min(columns, ends[i]) }, (_, index) => {
      const block = run.get(index);
      // Given back: no row sees it any more.
      if (block === undefined) return colours.dim("·".padStart(cell));
      const text = String(block).padStart(cell);
      return owners[block].length > 1 ? colours.green(text) : text;
    });
    const more = ends[i] > columns ? colours.dim(` +${ends[i] - columns}`) : "";
    return `${owned(shown[i].letter, i, colours)}  ${cells.join("")}${more}`;
  });
  const legend = "   first position";
  const isWide = 3 + head.length + legend.length <= width;
  return [colours.dim(`   ${head}${isWide ? legend : ""}`), ...rows];
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
    readonly kv: ModelInfo["kv"];
    readonly fullest: Moment;
    readonly end: Moment;
    readonly events: readonly EngineEvent[];
  },
): Json {
  const { model, kv, fullest, end, events } = report;
  const momentObject = ({ step, tables, owners, isCached }: Moment): Json => ({
    step,
    sequences: tables.map((runs, i) => ({
      prompt: LETTERS[i],
      blocks: blocksIn(runs),
      runs: runs.map((run) => ({
        first: run.size === 0 ? 0 : Math.min(...run.keys()),
        blocks: blocksIn([run]),
      })),
    })),
    shared: owners.flatMap((holders, block) => (holders.length > 1 ? [block] : [])),
    cached: owners.flatMap((holders, block) => (holders.length === 0 && isCached[block] ? [block] : [])),
  });
  return {
    model,
    kv: {
      blocks: kv.blocks,
      blockSize: kv.blockSize,
      blockBytes: kv.blockBytes,
      groups: kv.kinds.flatMap((kind) =>
        Array.from({ length: kind.groups }, () => ({ window: kind.window })),
      ),
    },
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
