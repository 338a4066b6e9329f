/** What the thread that compiles grammars is asked for, and what it answers. */

import { type PackedGrammar, packGrammar } from "../grammar/packed-grammar.js";
import type { TokenBytes } from "../grammar/token-trie.js";
import { type TokenVocabulary, tokenVocabulary } from "../grammar/token-vocabulary.js";
import type { CallMarker } from "../tools/call-format.js";
import { commonAutomata } from "../tools/common-automata.js";
import { compileConstraint } from "./compile-constraint.js";
import type { ConstraintSpec } from "./constraint-spec.js";

export type GrammarTask =
  | { readonly kind: "compile"; readonly spec: ConstraintSpec }
  | {
      readonly kind: "vocabulary";
      readonly tokens: TokenBytes;
      /** What calls of tools may begin with. */
      readonly markers: readonly CallMarker[];
    };

export type GrammarTaskResult = PackedGrammar | TokenVocabulary;

export function runGrammarTask(task: GrammarTask): GrammarTaskResult {
  if (task.kind === "compile") return packGrammar(compileConstraint(task.spec));
  return tokenVocabulary(task.tokens, commonAutomata(task.markers));
}
