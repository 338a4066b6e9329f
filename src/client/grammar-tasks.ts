/** What the thread that compiles grammars is asked for, and what it answers. */
import { compileConstraint } from "../grammar/compile-constraint.js";
import type { ConstraintSpec } from "../grammar/constraint-spec.js";
import { type PackedGrammar, packGrammar } from "../grammar/packed-grammar.js";
import { type TokenBytes, type TokenTrie, tokenTrie } from "../grammar/token-trie.js";

export type GrammarTask =
  | { readonly kind: "compile"; readonly spec: ConstraintSpec }
  | { readonly kind: "trie"; readonly vocabulary: TokenBytes };

export type GrammarTaskResult = PackedGrammar | TokenTrie;

export function runGrammarTask(task: GrammarTask): GrammarTaskResult {
  return task.kind === "compile" ? packGrammar(compileConstraint(task.spec)) : tokenTrie(task.vocabulary);
}
