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

  it("fits the line", () => {
    const state = {
      label: "downloading openai-community/gpt2",
      unit: "bytes",
      value: 5e7,
      total: 5e8,
      rate: 1e7,
    } as const;
    const colours = coloursFor(capturedIo().stdout, {});
    for (const width of [20, 40, 60, 80, 120]) {
      expect(barLine({ ...state, width, colours }).length).toBeLessThan(width);
    }
    expect(barLine({ ...state, width: 120, colours })).toBe(
      `downloading openai-community/gpt2 ${"━".repeat(4)}${"─".repeat(36)}  10 %  50 MB of 500 MB  10 MB/s`,
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
  it("shows one bar for each phase, with the rate since it began", () => {
    const io = terminal();
    const display = loadingDisplay(io, "gpt2");
    for (const [phase, verb] of [
      ["download", "downloading gpt2"],
      ["load", "loading gpt2"],
    ] as const) {
      // Half of it was there already.
      display.onProgress({ phase, file: "model.safetensors", loadedBytes: 5e6, totalBytes: 1e7 });
      vi.advanceTimersByTime(1000);
      display.onProgress({ phase, file: "model.safetensors", loadedBytes: 6e6, totalBytes: 1e7 });
      expect(io.stderr.text).toContain(verb);
      expect(io.stderr.text).toContain("6 MB of 10 MB  1 MB/s");
      io.stderr.text = "";
    }
    display.stop();
    expect(io.stderr.text).toContain(SHOW_CURSOR);
  });

  it("says that it waits for the Hub, and then goes on", () => {
    const io = terminal();
    const display = loadingDisplay(io, "gpt2");
    const progress = { phase: "download", file: "model.safetensors", totalBytes: 1e7 } as const;
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
