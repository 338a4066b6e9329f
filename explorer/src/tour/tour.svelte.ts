/**
 * The guided tour: in order, the argument for the KV cache, each stop at the view that shows it. Owns where the tour is; a
 * stop arranges the view, and everything in it goes on working.
 */
import { tick } from "svelte";
import { cacheRun } from "../cache/cache-run.svelte.ts";
import { scenariosOf } from "../cache/scenarios.ts";
import { engine } from "../model/engine.svelte.ts";
import { route, type ViewName } from "../navigation/route.svelte.ts";
import { stepChoice } from "../step/step-state.svelte.ts";

interface Stop {
  readonly name: StopName;
  readonly view: ViewName;
  /** What in the view it speaks of: scrolled to. */
  readonly shows: string;
  readonly arrange?: () => void;
}

type StopName =
  | "growth"
  | "claim"
  | "normal"
  | "lastRow"
  | "rowByRow"
  | "attention"
  | "reduced"
  | "whole"
  | "bits"
  | "blocks";

const inStep = (way: "cached" | "recompute", figure: "inference" | "attention") => () => {
  stepChoice.way = way;
  stepChoice.figure = figure;
  stepChoice.layer = 0;
  stepChoice.step = 12;
};

export const STOPS: readonly Stop[] = [
  { name: "growth", view: "runs", shows: '[data-way="recompute"]' },
  { name: "claim", view: "runs", shows: '[data-way="cached"]' },
  { name: "normal", view: "step", shows: ".figure", arrange: inStep("recompute", "inference") },
  { name: "lastRow", view: "step", shows: ".figure", arrange: inStep("recompute", "inference") },
  { name: "rowByRow", view: "step", shows: ".figure", arrange: inStep("recompute", "inference") },
  { name: "attention", view: "step", shows: ".figure", arrange: inStep("recompute", "attention") },
  { name: "reduced", view: "step", shows: ".figure", arrange: inStep("cached", "attention") },
  { name: "whole", view: "step", shows: ".figure", arrange: inStep("cached", "inference") },
  { name: "bits", view: "runs", shows: ".bits" },
  { name: "blocks", view: "cache", shows: ".columns", arrange: playSmallBudget },
];

/** Something to watch, unless something is there already: prompts that share, are preempted, and come back. */
function playSmallBudget() {
  const { lm } = engine;
  if (lm === null || !engine.mayCopy("cache") || cacheRun.length > 0) return;
  const scenario = scenariosOf(lm).find(({ name }) => name === "preempt");
  if (scenario !== undefined) void cacheRun.play(scenario, lm.info.kv.blockBytes);
}

class Tour {
  /** Place of the stop; null while there is no tour. */
  at = $state<number | null>(null);

  go(at: number): void {
    const stop = STOPS[at];
    if (stop === undefined) {
      this.end();
      return;
    }
    this.at = at;
    stop.arrange?.();
    route.open(stop.view);
    void tick().then(() => {
      document.querySelector(`main ${stop.shows}`)?.scrollIntoView({ block: "start" });
    });
  }

  end(): void {
    this.at = null;
  }
}

export const tour = new Tour();
