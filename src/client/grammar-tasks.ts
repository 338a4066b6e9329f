/** What the thread that compiles grammars is asked for, and what it answers. */
import { compileConstraint } from "../grammar/compile-constraint.js";
import type { ConstraintSpec } from "../grammar/constraint-spec.js";
import type { Grammar } from "../grammar/grammar.js";
import { type TokenBytes, type TokenTrie, tokenTrie } from "../grammar/token-trie.js";

export type GrammarTask =
  | { readonly kind: "compile"; readonly spec: ConstraintSpec }
  | { readonly kind: "trie"; readonly vocabulary: TokenBytes };

export type GrammarTaskResult = Grammar | TokenTrie;

export function runGrammarTask(task: GrammarTask): GrammarTaskResult {
  return task.kind === "compile" ? compileConstraint(task.spec) : tokenTrie(task.vocabulary);
}
