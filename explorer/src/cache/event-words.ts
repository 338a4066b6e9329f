/** An event of the engine as a sentence. */
import type { EngineEvent } from "lastrow";
import type { Strings } from "../language/en.ts";
import type { NamedSequence } from "./requests.ts";

export function eventWords(
  event: EngineEvent,
  { events }: Strings["cache"],
  sequences: readonly NamedSequence[],
): string {
  const name = (number: number) =>
    sequences.find(({ state }) => state.sequence === number)?.name ?? `#${number}`;
  switch (event.type) {
    case "allocated":
    case "hit":
    case "loaded":
    case "shared":
    case "published":
      return events[event.type](name(event.sequence), event.block);
    case "written":
      return events.written(name(event.sequence), event.to - event.from, event.from, event.to - 1);
    case "copied":
      return events.copied(name(event.sequence), event.from, event.to);
    case "released":
      return events.released(name(event.sequence), event.block, event.references);
    case "evicted":
      return events.evicted(event.block);
    case "preempted":
      return events.preempted(name(event.sequence));
    case "step":
      return events.step(event.rows, event.sequences);
    default:
      return "";
  }
}
