/** Which step, layer, way and figure the view shows. Owns the choice; the step itself is the two runs' recording. */
import { engine } from "../model/engine.svelte.ts";
import type { Way } from "../runs/race.ts";

class StepChoice {
  way = $state<Way>("recompute");
  figure = $state<"inference" | "attention">("inference");
  /** From 0; null: the latest. */
  step = $state<number | null>(null);
  layer = $state(0);
  head = $state(0);

  constructor() {
    engine.onLeaving(() => {
      this.step = null;
      this.layer = 0;
      this.head = 0;
    });
  }
}

export const stepChoice = new StepChoice();
