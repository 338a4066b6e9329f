/**
 * A grammar in GBNF becomes one of nodes. What is regular in it, references included, is one automaton wherever that is of
 * ordinary size, so that its masks are quick to find.
 */
import { LastrowError } from "../errors.js";
import { utf8 } from "./code-points.js";
import type { Dfa } from "./dfa.js";
import { type GbnfPart, type GbnfRule, parseGbnf, wrongAt } from "./gbnf-syntax.js";
import { GrammarBuilder, type WholeGrammar } from "./grammar.js";
import type { SchemaLimits } from "./json-schema/schema-limits.js";
import { dfaOf } from "./make-dfa.js";
import { RegexTerms, type Term } from "./regex-terms.js";

/** Most states and, about, characters of an automaton; what needs more is made of nodes. */
const MAX_STATES = 2000;
const MAX_AUTOMATON_LENGTH = 2000;

/**
 * Compiles a grammar in GBNF (docs/structured-output.md); a text of it is one of its rule `root`.
 * @throws LastrowError `invalid_argument`, with line and column, when it is none, a rule is missing or begins with itself,
 *   no text is of it, or a limit is passed
 */
export function gbnfGrammar(text: string, limits: SchemaLimits): WholeGrammar {
  const rules = parseGbnf(text);
  if (!rules.has("root")) throw wrongAt(text, text.length, "no rule `root`, with which a text begins");
  for (const { part } of rules.values()) {
    for (const { name, at } of references(part)) {
      if (!rules.has(name)) throw wrongAt(text, at, `a reference to ${name}, for which there is no rule`);
    }
  }
  refuseLeftRecursion(text, rules);
  return new GbnfCompiler(rules, limits).grammar();
}

type Reference = Extract<GbnfPart, { kind: "rule" }>;

function references(part: GbnfPart): readonly Reference[] {
  if (part.kind === "rule") return [part];
  if (part.kind === "repeat") return references(part.item);
  return "items" in part ? part.items.flatMap(references) : [];
}

/** Whether it may be empty, as far as the rules that may be are known. */
function mayBeEmpty(part: GbnfPart, rules: ReadonlySet<string>): boolean {
  switch (part.kind) {
    case "literal":
      return part.text === "";
    case "set":
      return false;
    case "rule":
      return rules.has(part.name);
    case "seq":
      return part.items.every((item) => mayBeEmpty(item, rules));
    case "any-of":
      return part.items.some((item) => mayBeEmpty(item, rules));
    case "repeat":
      return part.min === 0 || mayBeEmpty(part.item, rules);
  }
}

/** What it may refer to before any character. */
function firstReferences(part: GbnfPart, empty: ReadonlySet<string>): readonly Reference[] {
  if (part.kind === "rule") return [part];
  if (part.kind === "repeat") return part.max === 0 ? [] : firstReferences(part.item, empty);
  if (part.kind === "any-of") return part.items.flatMap((item) => firstReferences(item, empty));
  if (part.kind !== "seq") return [];
  const end = part.items.findIndex((item) => !mayBeEmpty(item, empty));
  const first = end < 0 ? part.items : part.items.slice(0, end + 1);
  return first.flatMap((item) => firstReferences(item, empty));
}

function refuseLeftRecursion(text: string, rules: ReadonlyMap<string, GbnfRule>): void {
  const empty = new Set<string>();
  for (let before = -1; before !== empty.size; ) {
    before = empty.size;
    for (const [name, { part }] of rules) if (mayBeEmpty(part, empty)) empty.add(name);
  }
  const firsts = new Map([...rules].map(([name, { part }]) => [name, firstReferences(part, empty)]));
  const done = new Set<string>();
  for (const start of rules.keys()) {
    const path = [{ name: start, at: 0 }];
    const within = new Set(done.has(start) ? [] : [start]);
    if (within.size === 0) continue;
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const next = firsts.get(top.name)?.[top.at++];
      if (next === undefined) {
        done.add(top.name);
        within.delete(top.name);
        path.pop();
      } else if (within.has(next.name)) {
        const what = `a rule ${next.name} that begins with itself, which never ends; let it begin with something else`;
        throw wrongAt(text, next.at, what);
      } else if (!done.has(next.name)) {
        within.add(next.name);
        path.push({ name: next.name, at: 0 });
      }
    }
  }
}

class GbnfCompiler {
  readonly #rules: ReadonlyMap<string, GbnfRule>;
  readonly #builder: GrammarBuilder;
  /** One for all parts, so that the work on all of them is counted together. */
  readonly #terms: RegexTerms;
  readonly #nodes = new Map<string, number>();
  readonly #dfas = new Map<Term, Dfa | null>();
  readonly #recursive: ReadonlySet<string>;
  readonly #ruleTerms = new Map<string, Term>();
  readonly #lengths = new Map<string, number>();

  constructor(rules: ReadonlyMap<string, GbnfRule>, limits: SchemaLimits) {
    this.#rules = rules;
    this.#builder = new GrammarBuilder(limits.maxNodes);
    this.#terms = new RegexTerms(limits.maxPatternWork, this.#builder.work);
    this.#recursive = recursiveRules(rules);
  }

  grammar(): WholeGrammar {
    return this.#builder.grammar(this.#rule("root"));
  }

  #rule(name: string): number {
    const known = this.#nodes.get(name);
    if (known !== undefined) return known;
    const node = this.#builder.declare();
    this.#nodes.set(name, node);
    this.#builder.define(node, this.#node(this.#ruleOf(name).part));
    return node;
  }

  #node(part: GbnfPart): number {
    const builder = this.#builder;
    if (part.kind === "literal") return builder.literal(part.text);
    if (part.kind === "rule") return this.#rule(part.name);
    const dfa = this.#regular(part);
    if (dfa !== undefined) return dfa === null ? builder.anyOf([]) : builder.dfa(dfa);
    switch (part.kind) {
      case "set":
        return this.#set(part);
      case "seq":
        return builder.seq(part.items.map((item) => this.#node(item)));
      case "any-of":
        return builder.anyOf(part.items.map((item) => this.#node(item)));
      case "repeat":
        return builder.repeat(this.#node(part.item), part.min, part.max);
    }
  }

  #set({ set }: Extract<GbnfPart, { kind: "set" }>): number {
    const terms = new RegexTerms(Number.POSITIVE_INFINITY, this.#builder.work);
    const dfa = dfaOf(terms, utf8(terms, set), MAX_STATES);
    return dfa === null ? this.#builder.anyOf([]) : this.#builder.dfa(dfa);
  }

  /** Its automaton, null where it has no text; undefined where it is not regular, or large. */
  #regular(part: GbnfPart): Dfa | null | undefined {
    if (references(part).some(({ name }) => this.#recursive.has(name))) return undefined;
    if (this.#length(part) > MAX_AUTOMATON_LENGTH) return undefined;
    try {
      const term = this.#term(part);
      let dfa = this.#dfas.get(term);
      if (dfa === undefined) {
        dfa = dfaOf(this.#terms, term, MAX_STATES);
        this.#dfas.set(term, dfa);
      }
      return dfa;
    } catch (error) {
      // Too much work or too many states.
      if (error instanceof LastrowError) return undefined;
      throw error;
    }
  }

  /** Characters of it when all references are written out. */
  #length(part: GbnfPart): number {
    if (part.kind === "literal") return part.text.length;
    if (part.kind === "set") return 1;
    if (part.kind === "repeat") return 1 + this.#length(part.item);
    if (part.kind !== "rule") return part.items.reduce((sum, item) => sum + this.#length(item), 0);
    const known = this.#lengths.get(part.name);
    if (known !== undefined) return known;
    const length = this.#length(this.#ruleOf(part.name).part);
    this.#lengths.set(part.name, length);
    return length;
  }

  #ruleOf(name: string): GbnfRule {
    const rule = this.#rules.get(name);
    if (rule === undefined) throw new Error(`no rule ${name}`);
    return rule;
  }

  #term(part: GbnfPart): Term {
    const terms = this.#terms;
    switch (part.kind) {
      case "literal":
        return terms.literal(new TextEncoder().encode(part.text));
      case "set":
        return utf8(terms, part.set);
      case "rule":
        return this.#ruleTerm(part.name);
      case "seq":
        return terms.seq(part.items.map((item) => this.#term(item)));
      case "any-of":
        return terms.anyOf(part.items.map((item) => this.#term(item)));
      case "repeat":
        return terms.repeat(this.#term(part.item), part.min, part.max);
    }
  }

  #ruleTerm(name: string): Term {
    const known = this.#ruleTerms.get(name);
    if (known !== undefined) return known;
    const term = this.#term(this.#ruleOf(name).part);
    this.#ruleTerms.set(name, term);
    return term;
  }
}

/** Rules that lead to one that is within itself: those that are not regular. */
function recursiveRules(rules: ReadonlyMap<string, GbnfRule>): ReadonlySet<string> {
  const names = new Map(
    [...rules].map(([name, { part }]) => [name, references(part).map((one) => one.name)]),
  );
  const users = new Map<string, string[]>([...rules.keys()].map((name) => [name, []]));
  const missing = new Map<string, number>();
  for (const [name, used] of names) {
    const distinct = new Set(used);
    missing.set(name, distinct.size);
    for (const one of distinct) users.get(one)?.push(name);
  }
  // A rule is regular once all that it refers to are.
  const waiting = [...rules.keys()].filter((name) => missing.get(name) === 0);
  const recursive = new Set(rules.keys());
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    recursive.delete(name);
    for (const user of users.get(name) ?? []) {
      const left = (missing.get(user) ?? 0) - 1;
      missing.set(user, left);
      if (left === 0) waiting.push(user);
    }
  }
  return recursive;
}
