/**
 * What moves on the screen while a command runs: a bar where there is a measure, a spinner where there is none. Only on
 * standard error, only when it is a terminal, only when the wait is about a second or longer; nothing of it stays.
 * At most one of them is on the screen, and never while text is streamed.
 */
import { type Options as BarOptions, type Params, SingleBar } from "cli-progress";
import yoctoSpinner from "yocto-spinner";
import type { LoadProgress } from "../formats/load-progress.js";
import { formatMemorySize } from "../memory-size.js";
import { type Colours, coloursFor, columnsOf, type Io } from "./terminal.js";

/** Nothing shows earlier. */
const QUIET_MS = 500;
/** Nothing shows that, going by what is done so far, takes less in all. */
const LEAST_WHOLE_MS = 1000;

export type Unit = "bytes" | "steps" | "tokens" | "rows";

function canMove({ stderr, env }: Io): boolean {
  return stderr.isTTY === true && env.TERM !== "dumb" && !("CI" in env);
}

/** Something that shows how far work has come. */
export interface Bar {
  update(done: number, total: number): void;
  /** Takes it from the screen; calling it twice is fine. */
  stop(): void;
}

/** A bar for work with a measure. It appears by itself when the work turns out to be long. */
export function bar(io: Io, label: string, unit: Unit): Bar {
  if (!canMove(io)) return { update: () => undefined, stop: () => undefined };
  const start = performance.now();
  const colours = coloursFor(io.stderr, io.env);
  const format = (_: BarOptions, { value, total }: Params) => {
    const rate = ((value - (first ?? 0)) / (performance.now() - start)) * 1000;
    return barLine({ label, unit, value, total, rate, width: columnsOf(io.stderr), colours });
  };
  let first: number | null = null;
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
    update(done, total) {
      first ??= done;
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

interface BarState {
  readonly label: string;
  readonly unit: Unit;
  readonly value: number;
  readonly total: number;
  /** Units a second. */
  readonly rate: number;
  readonly width: number;
  readonly colours: Colours;
}

/** One line, as wide as the terminal allows: `loading stories ━━━━━━━──── 62 %  7.9 MB of 12.7 MB  310 MB/s` */
export function barLine({ label, unit, value, total, rate, width, colours }: BarState): string {
  const share = total > 0 ? Math.min(1, value / total) : 1;
  const measure =
    unit === "bytes"
      ? `${formatMemorySize(value)} of ${formatMemorySize(total)}  ${formatMemorySize(Math.round(rate))}/s`
      : `${value} of ${total} ${unit}`;
  const percent = `${Math.floor(share * 100)}`.padStart(3);
  const length = Math.min(40, width - label.length - measure.length - percent.length - 8);
  if (length < 5) return `${label} ${percent} %`.slice(0, width - 1);
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
    onProgress({ phase, loadedBytes, totalBytes, retryInSeconds }) {
      if (retryInSeconds !== undefined) {
        current.stop();
        const notice = `${label}: the Hub is busy and asks to wait for ${retryInSeconds} s`;
        current = { phase: "wait", update: () => undefined, stop: spinner(io, notice) };
        return;
      }
      if (current.phase !== phase) {
        current.stop();
        const verb = phase === "download" ? "downloading" : "loading";
        current = { phase, ...bar(io, `${verb} ${label}`, "bytes") };
      }
      current.update(loadedBytes, totalBytes);
    },
    stop: () => current.stop(),
  };
}
