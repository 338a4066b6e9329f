/**
 * What moves on the screen while a command runs: a bar where there is a measure, a spinner where there is none. Only on
 * standard error, only when it is a terminal, only when the wait is about a second or longer; nothing of it stays.
 * At most one of them is on the screen, and never while text is streamed.
 */
import { type Options as BarOptions, type Params, SingleBar } from "cli-progress";
import yoctoSpinner from "yocto-spinner";
import type { LoadProgress } from "../formats/load-progress.js";
import { formatMemorySize } from "../memory-size.js";
import { printable } from "../printable.js";
import { type Colours, coloursFor, columnsOf, type Io } from "./terminal.js";

/** Nothing shows earlier. */
const QUIET_MS = 500;
/** Nothing shows that, going by what is done so far, takes less in all. */
const LEAST_WHOLE_MS = 1000;

export type Unit = "bytes" | "steps" | "tokens" | "rows";

function canMove({ stderr, env }: Io): boolean {
  return stderr.isTTY === true && env.TERM !== "dumb" && !("CI" in env);
}

/** What of a bar's line changes from time to time. */
interface BarText {
  /** What is being done, in words: the longest first, the first that leaves room for a bar is taken. */
  readonly labels: readonly string[];
  /** For bytes: how many come a second; 0 where that is not known yet. */
  readonly bytesPerSecond?: number;
}

/** Something that shows how far work has come. */
export interface Bar {
  /** @param text from now on; by default as before */
  update(done: number, total: number, text?: BarText): void;
  /** Takes it from the screen; calling it twice is fine. */
  stop(): void;
}

/** A bar for work with a measure. It appears by itself when the work turns out to be long. */
export function bar(io: Io, label: string, unit: Unit): Bar {
  if (!canMove(io)) return { update: () => undefined, stop: () => undefined };
  const start = performance.now();
  const colours = coloursFor(io.stderr, io.env);
  let text: BarText = { labels: [label] };
  const format = (_: BarOptions, { value, total }: Params) =>
    barLine({ ...text, unit, value, total, width: columnsOf(io.stderr), colours });
  let latest = { done: 0, total: 0 };
  let shown: SingleBar | null = null;
  const showIfLong = () => {
    const elapsed = performance.now() - start;
    const { done, total } = latest;
    if (shown !== null || total === 0 || elapsed < QUIET_MS || elapsed * total < LEAST_WHOLE_MS * done)
      return;
    shown = new SingleBar({ stream: io.stderr, format, clearOnComplete: true, hideCursor: true });
    shown.start(total, done);
  };
  const timer = setTimeout(showIfLong, QUIET_MS);
  return {
    update(done, total, newText) {
      text = newText ?? text;
      latest = { done, total };
      showIfLong();
      if (shown?.getTotal() !== total) shown?.setTotal(total);
      shown?.update(done);
    },
    stop() {
      clearTimeout(timer);
      shown?.stop();
      shown = null;
    },
  };
}

interface BarState extends BarText {
  readonly unit: Unit;
  readonly value: number;
  readonly total: number;
  readonly width: number;
  readonly colours: Colours;
}

/** Columns of a bar: no longer, and where a shorter label leaves more, no shorter than the first; never than the second. */
const MOST_COLUMNS = 40;
const GOOD_COLUMNS = 12;
const LEAST_COLUMNS = 5;
/** `1.23 GB of 1.23 GB  1.23 GB/s` */
const BYTES_COLUMNS = 30;

/**
 * One line, as wide as the terminal allows: `loading model.safetensors ━━━━━━━──── 62 %  7.9 MB of 12.7 MB  310 MB/s`. What
 * has no room is left out: first the longer labels, then the bar, then the measure.
 */
export function barLine({ labels, unit, value, total, bytesPerSecond, width, colours }: BarState): string {
  const share = total > 0 ? Math.min(1, value / total) : 1;
  const percent = `${Math.floor(share * 100)}`.padStart(3);
  const rate = !bytesPerSecond ? "" : `  ${formatMemorySize(bytesPerSecond)}/s`;
  const measure =
    unit === "bytes"
      ? `${formatMemorySize(value)} of ${formatMemorySize(total)}${rate}`
      : `${value} of ${total} ${unit}`;
  // As much as any bytes take, so that nothing moves while they grow.
  const measureColumns = unit === "bytes" ? Math.max(BYTES_COLUMNS, measure.length) : measure.length;
  const room = (label: string) => width - label.length - measureColumns - percent.length - 8;
  const shortest = labels[labels.length - 1];
  const label = labels.find((candidate) => room(candidate) >= GOOD_COLUMNS) ?? shortest;
  const length = Math.min(MOST_COLUMNS, room(label));
  if (length < LEAST_COLUMNS) {
    const line = `${label} ${percent} %  ${measure}`;
    return line.length < width ? line : `${label} ${percent} %`.slice(0, width - 1);
  }
  const filled = Math.round(share * length);
  const line = colours.cyan("━".repeat(filled)) + colours.dim("─".repeat(length - filled));
  return `${label} ${line} ${percent} %  ${colours.dim(measure)}`;
}

/** A spinner for work without a measure, after a while. Call what it gives back to end it. */
export function spinner(io: Io, label: string): () => void {
  if (!canMove(io)) return () => undefined;
  const shown = yoctoSpinner({ text: label, stream: io.stderr, handleSignals: false });
  const timer = setTimeout(() => shown.start(), QUIET_MS);
  return () => {
    clearTimeout(timer);
    shown.stop();
  };
}

/** Shows how a model is fetched and read. */
export function loadingDisplay(
  io: Io,
  label: string,
): { onProgress: (progress: LoadProgress) => void; stop: () => void } {
  let current: { phase: LoadProgress["phase"] | "wait" | null; update: Bar["update"]; stop: () => void } = {
    phase: null,
    update: () => undefined,
    stop: spinner(io, `opening ${label}`),
  };
  return {
    onProgress({ phase, file, loadedBytes, totalBytes, bytesPerSecond, retryInSeconds }) {
      if (retryInSeconds !== undefined) {
        current.stop();
        const notice = `${label}: the Hub is busy and asks to wait for ${retryInSeconds} s`;
        current = { phase: "wait", update: () => undefined, stop: spinner(io, notice) };
        return;
      }
      const verb = phase === "download" ? "downloading" : "loading";
      if (current.phase !== phase) {
        current.stop();
        current = { phase, ...bar(io, `${verb} ${label}`, "bytes") };
      }
      const name = printable(file);
      const labels = [`${verb} ${label}: ${name}`, `${verb} ${name}`];
      current.update(loadedBytes, totalBytes, { labels, bytesPerSecond });
    },
    stop: () => current.stop(),
  };
}
