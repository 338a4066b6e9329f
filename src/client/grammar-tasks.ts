/** What the thread that compiles grammars is asked for, and what it answers. */
import { compileConstraint } from "../grammar/compile-constraint.js";
import type { ConstraintSpec } from "../grammar/constraint-spec.js";
import { type PackedGrammar, packGrammar } from "../grammar/packed-grammar.js";
import type { TokenBytes } from "../grammar/token-trie.js";
import { type TokenVocabulary, tokenVocabulary } from "../grammar/token-vocabulary.js";

export type GrammarTask =
  | { readonly kind: "compile"; readonly spec: ConstraintSpec }
  | { readonly kind: "vocabulary"; readonly tokens: TokenBytes };

export type GrammarTaskResult = PackedGrammar | TokenVocabulary;

export function runGrammarTask(task: GrammarTask): GrammarTaskResult {
  return task.kind === "compile" ? packGrammar(compileConstraint(task.spec)) : tokenVocabulary(task.tokens);
}
