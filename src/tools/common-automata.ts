/**
 * Automata that answers with tools have whatever the tools are: free text, and arguments that are any text. What they reach in a
 * vocabulary is found once a load, since it says nothing of anybody's tools.
 */

import { GrammarBuilder } from "../grammar/grammar.js";
import { SCHEMA_LIMITS } from "../grammar/json-schema/schema-limits.js";
import { ANY_STRING } from "../grammar/json-schema/strings.js";
import type { CommonAutomaton } from "../grammar/reach-passes.js";
import { Work } from "../grammar/work.js";
import type { CallMarker } from "./call-format.js";
import { textUpTo, textWithout } from "./free-text.js";
import { TaggedStrings } from "./tagged-strings.js";

/** @param markers what calls begin with in the forms that the model may be asked for */
export function commonAutomata(markers: readonly CallMarker[]): readonly CommonAutomaton[] {
  const builder = new GrammarBuilder(SCHEMA_LIMITS.maxNodes);
  const text = new TaggedStrings(builder, SCHEMA_LIMITS).value(ANY_STRING, new Set(["string"]));
  const { dfas } = builder.grammar(text);
  const freeTexts = markers.flatMap((marker) => [
    textUpTo(marker, SCHEMA_LIMITS, new Work()),
    textWithout(marker, [], SCHEMA_LIMITS, new Work()),
  ]);
  return [...dfas, ...freeTexts].map((dfa) => ({ dfa, repeats: false }));
}
