/**
 * What was recorded of the two runs, and the cursor that says up to which event it is shown. Owns both; the view is a
 * function of them. While a run goes on the cursor follows its end, unless it was moved by hand.
 */
import type { LanguageModel } from "lastrow";
import { expectedRows } from "lastrow/explain";
import { engine } from "../model/engine.svelte.ts";
import { promptTokens } from "../model/prompt.ts";
import { type RaceStep, race, type Way } from "./race.ts";

/** What the first run begins with. */
export const RACE_PROMPT = "Once upon a time, there was a little";

interface RunSettings {
  readonly prompt: string;
  readonly steps: number;
  readonly temperature: number;
  readonly seed: number;
  readonly pause: number;
}

/** Everything that the view shows at a cursor. */
export interface RunsMoment {
  readonly cached: readonly RaceStep[];
  readonly recompute: readonly RaceStep[];
  /** Steps that both ways have done, and those of them whose logits differ in a bit. */
  readonly compared: number;
  readonly different: number;
  readonly formula: { readonly cached: number; readonly recompute: number };
}

/** The first `cursor` events, told apart by their way. */
function momentAt(events: readonly RaceStep[], cursor: number, promptTokens: number): RunsMoment {
  const shown = events.slice(0, cursor);
  const of = (way: Way) => shown.filter((step) => step.way === way);
  const cached = of("cached");
  const recompute = of("recompute");
  const compared = shown.filter(({ isCompared }) => isCompared);
  return {
    cached,
    recompute,
    compared: compared.length,
    different: compared.filter(({ difference }) => difference !== null).length,
    formula: {
      cached: expectedRows("cached", promptTokens, cached.length),
      recompute: expectedRows("recompute", promptTokens, recompute.length),
    },
  };
}

class RunsRecording {
  /** Ids of the prompt of the present recording; empty before the first. */
  prompt = $state.raw<readonly number[]>([]);
  events = $state.raw<readonly RaceStep[]>([]);
  /** Events that are shown. */
  cursor = $state(0);
  /** Steps that each way was asked for: the width of the pictures, so that nothing jumps while they fill. */
  steps = $state(0);
  isRunning = $state(false);
  error = $state.raw<unknown>(null);
  readonly moment = $derived(momentAt(this.events, this.cursor, this.prompt.length));
  #isFollowing = true;
  #stop: AbortController | null = null;

  constructor() {
    engine.onLeaving(() => {
      this.stop();
      this.prompt = [];
      this.events = [];
      this.cursor = 0;
      this.steps = 0;
      this.error = null;
    });
  }

  /** Starts over; a run that goes on ends first. */
  async start(lm: LanguageModel, settings: RunSettings): Promise<void> {
    this.stop();
    const controller = new AbortController();
    this.#stop = controller;
    this.error = null;
    try {
      const prompt = promptTokens(lm, settings.prompt);
      const steps = Math.min(settings.steps, lm.info.config.contextLength - prompt.length + 1);
      this.prompt = prompt;
      this.steps = steps;
      this.events = [];
      this.cursor = 0;
      this.#isFollowing = true;
      this.isRunning = true;
      const frame = new FrameBuffer<RaceStep>((added) => {
        if (controller.signal.aborted) return;
        this.events = [...this.events, ...added];
        if (this.#isFollowing) this.cursor = this.events.length;
      });
      await race(lm, {
        ...settings,
        topK: 40,
        prompt,
        steps,
        signal: controller.signal,
        onStep: (step) => frame.push(step),
      });
      frame.flush();
    } catch (error) {
      if (!controller.signal.aborted) this.error = error;
    } finally {
      if (this.#stop === controller) this.isRunning = false;
    }
  }

  /** Ends a run early; what it did stays. */
  stop(): void {
    this.#stop?.abort();
    this.isRunning = false;
  }

  /** Shows the first `cursor` events; at the end, it follows again. */
  seek(cursor: number): void {
    this.cursor = Math.max(0, Math.min(cursor, this.events.length));
    this.#isFollowing = this.cursor === this.events.length;
  }
}

/** Collects what comes between two frames, so that a page draws at most once for each. */
class FrameBuffer<T> {
  readonly #deliver: (items: readonly T[]) => void;
  #waiting: T[] = [];
  #isScheduled = false;

  constructor(deliver: (items: readonly T[]) => void) {
    this.#deliver = deliver;
  }

  push(item: T): void {
    this.#waiting.push(item);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    requestAnimationFrame(() => this.flush());
  }

  flush(): void {
    this.#isScheduled = false;
    if (this.#waiting.length === 0) return;
    const items = this.#waiting;
    this.#waiting = [];
    this.#deliver(items);
  }
}

export const runs = new RunsRecording();
