/** What a text is held to becomes a grammar. */
import { invalidArgument } from "../errors.js";
import { utf8 } from "../grammar/code-points.js";
import { gbnfGrammar } from "../grammar/gbnf.js";
import { GrammarBuilder, type GrammarNode, type WholeGrammar } from "../grammar/grammar.js";
import { schemaGrammar } from "../grammar/json-schema/schema-grammar.js";
import { SCHEMA_LIMITS } from "../grammar/json-schema/schema-limits.js";
import { dfaOf } from "../grammar/make-dfa.js";
import { wholeMatch } from "../grammar/regex.js";
import { RegexTerms } from "../grammar/regex-terms.js";
import { Work } from "../grammar/work.js";
import { callGrammar } from "../tools/call-grammar.js";
import { textUpTo } from "../tools/free-text.js";
import type { ConstraintSpec } from "./constraint-spec.js";

/**
 * Compiles it. Takes at most a few seconds: work is counted, and ends with an error where it is too much.
 * @throws LastrowError `invalid_argument`
 */
export function compileConstraint(spec: ConstraintSpec): WholeGrammar {
  switch (spec.kind) {
    case "schema":
      return schemaGrammar(JSON.parse(spec.schema));
    case "regex":
      return regexGrammar(spec.pattern);
    case "grammar":
      return gbnfGrammar(spec.text, SCHEMA_LIMITS);
    case "tools":
      return callGrammar(spec.tools, SCHEMA_LIMITS);
    case "thoughts":
      return afterThoughts(spec.end, compileConstraint(spec.answer));
  }
}

/** An answer behind thoughts that are free, up to their end, which it does not end without. */
function afterThoughts(end: string, { nodes, dfas, root }: WholeGrammar): WholeGrammar {
  const thoughts = textUpTo({ text: end, token: null }, SCHEMA_LIMITS, new Work());
  const first = nodes.length;
  const all: GrammarNode[] = [
    ...nodes,
    { kind: "dfa", dfa: dfas.length, mayStop: false },
    { kind: "seq", items: [first, root] },
  ];
  return { nodes: all, dfas: [...dfas, thoughts], root: first + 1 };
}

function regexGrammar(pattern: string): WholeGrammar {
  const terms = new RegexTerms(SCHEMA_LIMITS.maxPatternWork);
  const dfa = dfaOf(terms, wholeMatch(terms, utf8, pattern), SCHEMA_LIMITS.maxStates);
  if (dfa === null) throw invalidArgument("no text matches the regex.");
  const builder = new GrammarBuilder(1);
  return builder.grammar(builder.dfa(dfa));
}
