import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { capturedIo } from "../../test/cli/captured-io.js";
import { bar, barLine, loadingDisplay, spinner } from "./progress.js";
import { coloursFor } from "./terminal.js";

const CLEAR_LINE = "\u001b[2K";
const SHOW_CURSOR = "\u001b[?25h";

beforeEach(() => {
  vi.useFakeTimers();
  // The spinner's library looks at this process, not at what a command is given.
  vi.stubEnv("CI", undefined);
  vi.stubEnv("TERM", "xterm");
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
});

const terminal = () => capturedIo({ isTerminal: true });

describe("bar", () => {
  it("shows when work goes on for long, and leaves nothing", () => {
    const io = terminal();
    const shown = bar(io, "recomputing", "steps");
    shown.update(1, 100);
    vi.advanceTimersByTime(400);
    shown.update(10, 100);
    expect(io.stderr.text).toBe("");
    vi.advanceTimersByTime(200);
    expect(io.stderr.text).toContain("10 of 100 steps");
    vi.advanceTimersByTime(1000);
    shown.update(50, 100);
    expect(io.stderr.text).toContain(" 50 %");
    const before = io.stderr.text.length;
    shown.stop();
    const last = io.stderr.text.slice(before);
    expect(last).toContain(SHOW_CURSOR);
    expect(last.endsWith(CLEAR_LINE)).toBe(true);
    shown.stop();
    expect(io.stderr.text.length).toBe(before + last.length);
    expect(io.stdout.text).toBe("");
  });

  it("shows when the first step alone takes long", () => {
    const io = terminal();
    const shown = bar(io, "recomputing", "steps");
    shown.update(0, 100);
    vi.advanceTimersByTime(600);
    expect(io.stderr.text).toContain("0 of 100 steps");
    shown.stop();
  });

  it("does not show for work that is nearly done when it could", () => {
    const io = terminal();
    const shown = bar(io, "loading", "bytes");
    shown.update(80, 100);
    vi.advanceTimersByTime(700);
    shown.update(90, 100);
    shown.stop();
    vi.advanceTimersByTime(5000);
    expect(io.stderr.text).toBe("");
  });

  it.each([
    ["in a pipe", capturedIo()],
    ["on a dumb terminal", capturedIo({ isTerminal: true, env: { TERM: "dumb" } })],
    ["in CI", capturedIo({ isTerminal: true, env: { CI: "true" } })],
  ])("never shows %s", (_, io) => {
    const shown = bar(io, "recomputing", "steps");
    const stop = spinner(io, "reading");
    for (let step = 0; step < 10; step++) {
      vi.advanceTimersByTime(1000);
      shown.update(step, 10);
    }
    shown.stop();
    stop();
    expect(io.stderr.text).toBe("");
  });

  it("fits the line, and says what has room", () => {
    const labels = [
      "loading llama: model-00001-of-00002.safetensors",
      "loading model-00001-of-00002.safetensors",
    ];
    const bytes = { unit: "bytes", value: 1.25e9, total: 2.5e9, bytesPerSecond: 1.2e9 } as const;
    const colours = coloursFor(capturedIo().stdout, {});
    const line = (width: number) => barLine({ labels, ...bytes, width, colours });
    for (let width = 2; width < 200; width++) expect(line(width).length).toBeLessThan(width);
    const measure = "1.25 GB of 2.5 GB  1.2 GB/s";
    expect(line(140)).toBe(`${labels[0]} ${"━".repeat(20)}${"─".repeat(20)}  50 %  ${measure}`);
    expect(line(100)).toBe(`${labels[0]} ${"━".repeat(6)}${"─".repeat(6)}  50 %  ${measure}`);
    expect(line(99)).toBe(`${labels[1]} ${"━".repeat(9)}${"─".repeat(9)}  50 %  ${measure}`);
    expect(line(80)).toBe(`${labels[1]}  50 %  ${measure}`);
    expect(line(60)).toBe(`${labels[1]}  50 %`);
    expect(barLine({ labels: ["rows"], unit: "rows", value: 1, total: 2, width: 40, colours })).toBe(
      `rows ${"━".repeat(7)}${"─".repeat(7)}  50 %  1 of 2 rows`,
    );
  });
});

describe("spinner", () => {
  it("shows after a while, and leaves nothing", () => {
    const io = terminal();
    const stop = spinner(io, "reading the prompt");
    vi.advanceTimersByTime(400);
    expect(io.stderr.text).toBe("");
    vi.advanceTimersByTime(400);
    expect(io.stderr.text).toContain("reading the prompt");
    stop();
    expect(io.stderr.text).toContain(SHOW_CURSOR);
    const before = io.stderr.text;
    vi.advanceTimersByTime(1000);
    expect(io.stderr.text).toBe(before);
  });

  it("never shows when it is stopped in time", () => {
    const io = terminal();
    spinner(io, "reading the prompt")();
    vi.advanceTimersByTime(5000);
    expect(io.stderr.text).toBe("");
  });
});

describe("loadingDisplay", () => {
  it("shows one bar for each phase, with the file and the rate", () => {
    const io = terminal();
    const display = loadingDisplay(io, "gpt2");
    const file = "mod\u001b.safetensors";
    for (const [phase, words] of [
      ["download", "downloading mod␛.safetensors "],
      ["load", "loading mod␛.safetensors "],
    ] as const) {
      const progress = { phase, file, totalBytes: 1e7 };
      display.onProgress({ ...progress, loadedBytes: 5e6, bytesPerSecond: 0 });
      vi.advanceTimersByTime(1000);
      display.onProgress({ ...progress, loadedBytes: 6e6, bytesPerSecond: 1e6 });
      expect(io.stderr.text).toContain(words);
      expect(io.stderr.text).toContain("6 MB of 10 MB  1 MB/s");
      io.stderr.text = "";
    }
    display.stop();
    expect(io.stderr.text).toContain(SHOW_CURSOR);
  });

  it("says that it waits for the Hub, and then goes on", () => {
    const io = terminal();
    const display = loadingDisplay(io, "gpt2");
    const progress = {
      ...({ phase: "download", file: "model.safetensors" } as const),
      ...{ totalBytes: 1e7, bytesPerSecond: 1e6 },
    };
    display.onProgress({ ...progress, loadedBytes: 5e6 });
    vi.advanceTimersByTime(1000);
    display.onProgress({ ...progress, loadedBytes: 5e6, retryInSeconds: 30 });
    vi.advanceTimersByTime(30_000);
    expect(io.stderr.text).toContain("gpt2: the Hub is busy and asks to wait for 30 s");
    io.stderr.text = "";
    display.onProgress({ ...progress, loadedBytes: 5e6 });
    vi.advanceTimersByTime(1000);
    display.onProgress({ ...progress, loadedBytes: 6e6 });
    expect(io.stderr.text).toContain("6 MB of 10 MB");
    display.stop();
  });
});
