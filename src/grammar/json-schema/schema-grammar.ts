/**
 * A JSON Schema as a grammar of compact JSON. What fits the grammar fits the schema; the other way round there are limits,
 * which docs/structured-output.md lists: properties come in the schema's order, numbers without exponents, and so on.
 */
import type { Dfa } from "../dfa.js";
import { GrammarBuilder, type WholeGrammar } from "../grammar.js";
import { GrammarStates } from "../grammar-state.js";
import { UNBOUNDED } from "../regex-terms.js";
import { JSON_STYLES, type JsonStyle, jsonText } from "./json-text.js";
import { type NumberBounds, numberDfa } from "./number-dfa.js";
import { conjunction, least, ObjectNodes, type Property, propertiesOf } from "./object-nodes.js";
import { type Alternative, boundsOf, type Conjunction, SchemaAlternatives } from "./schema-alternatives.js";
import { ANNOTATIONS, schemaJson } from "./schema-keywords.js";
import { SCHEMA_LIMITS, type SchemaLimits } from "./schema-limits.js";
import type { JsonType, Schema, SchemaObject } from "./schema-types.js";
import { ANY_STRING, SchemaStrings, type StringRules } from "./strings.js";

/**
 * Compiles a JSON Schema (draft 2020-12).
 * @param schema an object, true or false
 * @throws LastrowError `invalid_argument`, naming the place in the schema, when a keyword is not honoured, nothing fits, or
 *   a limit is passed
 */
export function schemaGrammar(schema: unknown, limits: SchemaLimits = SCHEMA_LIMITS): WholeGrammar {
  const root = schemaJson(schema, limits);
  const target = targetOf(limits, JSON_STYLES.compact);
  return target.builder.grammar(compilerOf(root, target).whole(conjunction([root])));
}

/** Where a schema's nodes go, and how JSON is written there. */
export interface SchemaTarget {
  readonly builder: GrammarBuilder;
  /** Automata of strings: schemas of one grammar share them. */
  readonly strings: SchemaStrings;
  readonly limits: SchemaLimits;
  readonly style: JsonStyle;
}

/** A target of its own. */
function targetOf(limits: SchemaLimits, style: JsonStyle): SchemaTarget {
  const builder = new GrammarBuilder(limits.maxNodes);
  return { builder, strings: new SchemaStrings(limits, builder.work), limits, style };
}

/**
 * Puts the objects that fit a schema into a grammar.
 * @returns their node
 * @throws LastrowError `invalid_argument`, as `schemaGrammar`; that nothing fits is seen by the grammar
 */
export function addObjects(schema: Schema, target: SchemaTarget): number {
  return compilerOf(schema, target).whole(conjunction([schema, { type: "object" }]));
}

function compilerOf(root: Schema, target: SchemaTarget): SchemaCompiler {
  return new SchemaCompiler(new SchemaAlternatives(root, target.limits, target.builder.work), target);
}

/**
 * Makes the nodes of one schema. What its methods give is there once `finished` has been called.
 */
export class SchemaCompiler {
  readonly #alternatives: SchemaAlternatives;
  readonly #limits: SchemaLimits;
  readonly #builder: GrammarBuilder;
  readonly #strings: SchemaStrings;
  readonly #style: JsonStyle;
  readonly #numbers = new Map<SchemaObject, number>();
  readonly #nodes = new Map<string, number>();
  /** Values that were met, and what fits all of their schemas: done one after the other, not within each other. */
  readonly #waiting: { readonly node: number; readonly all: Conjunction }[] = [];
  /** By their rules as JSON. */
  readonly #automata = new Map<string, number>();

  constructor(alternatives: SchemaAlternatives, { builder, strings, limits, style }: SchemaTarget) {
    this.#alternatives = alternatives;
    this.#builder = builder;
    this.#strings = strings;
    this.#limits = limits;
    this.#style = style;
  }

  /** What fits all, with all that it needs. */
  whole(all: Conjunction | null): number {
    return this.finished(this.#value(all));
  }

  /** The node, once all that it needs is there. */
  finished(node: number): number {
    for (let next = this.#waiting.pop(); next !== undefined; next = this.#waiting.pop()) {
      const alternatives = this.#alternatives.of(next.all);
      this.#builder.define(next.node, this.#builder.anyOf(alternatives.map((one) => this.fitting(one))));
    }
    return node;
  }

  /** What fits all; null: nothing. */
  #value(all: Conjunction | null): number {
    if (all === null) return this.#builder.anyOf([]);
    const key = [...new Set(all.map((schema) => this.#numberOf(schema)))].sort((a, b) => a - b).join();
    const known = this.#nodes.get(key);
    if (known !== undefined) return known;
    const node = this.#builder.declare();
    this.#nodes.set(key, node);
    this.#waiting.push({ node, all });
    return node;
  }

  #numberOf(schema: SchemaObject): number {
    const number = this.#numbers.get(schema) ?? this.#numbers.size;
    this.#numbers.set(schema, number);
    return number;
  }

  /** What fits one way. */
  fitting(alternative: Alternative): number {
    if (alternative.values !== null) return this.#listed(alternative);
    const { members } = alternative;
    return this.#builder.anyOf([...alternative.types].map((type) => this.#ofType(type, members)));
  }

  #listed(alternative: Alternative): number {
    const texts = this.listedValues(alternative).map((value) => jsonText(value, this.#style));
    const dfa = this.#strings.oneOf([...new Set(texts)]);
    return dfa === null ? this.#builder.anyOf([]) : this.#builder.dfa(dfa);
  }

  /** Those of the listed values that fit the other keywords, too. */
  listedValues(alternative: Alternative): readonly unknown[] {
    const values = alternative.values ?? [];
    const says = alternative.members.flatMap((member) => Object.keys(member));
    if (!says.some((keyword) => !TELL_NO_MORE.has(keyword))) return values;
    const fits = this.#fits((others) => others.fitting({ ...alternative, values: null }));
    return values.filter((value) => fits(jsonText(value, this.#style)));
  }

  /** Whether names fit what is said of names. */
  fittingNames(keys: Conjunction): (name: string) => boolean {
    if (keys.length === 0) return () => true;
    const fits = this.#fits((others) => others.#keyNode(keys, []));
    return (name) => fits(JSON.stringify(name));
  }

  #ofType(type: JsonType, members: Conjunction): number {
    const builder = this.#builder;
    switch (type) {
      case "null":
        return builder.literal("null");
      case "boolean":
        return builder.anyOf([builder.literal("true"), builder.literal("false")]);
      case "integer":
      case "number":
        return this.#number(type === "integer", members);
      case "string":
        return this.#string(stringRules(members));
      case "array":
        return this.#array(members);
      case "object":
        return this.#object(members);
    }
  }

  #number(integer: boolean, members: Conjunction): number {
    const divisors = [
      ...new Set(members.flatMap(({ multipleOf }) => (multipleOf === undefined ? [] : [multipleOf]))),
    ];
    const multipleOf = divisors.reduce<number>(
      (product, divisor) => leastCommon(product, divisor as number),
      1,
    );
    const bounds = { integer: integer || divisors.length > 0, ...boundsOf(members) };
    const rules = { ...bounds, multipleOf: multipleOf === 1 ? null : multipleOf };
    return this.#automaton(rules, () => numberDfa(rules, this.#limits.maxStates, this.#builder.work));
  }

  #string(rules: StringRules): number {
    const builder = this.#builder;
    const { minLength, maxLength, patterns, formats, except } = rules;
    if (maxLength < minLength) return builder.anyOf([]);
    const isPlain = patterns.length + formats.length + except.length === 0;
    if (isPlain && (minLength > 0 || maxLength < UNBOUNDED)) {
      const quote = builder.literal('"');
      return builder.seq([quote, builder.characters(this.#strings.character(), minLength, maxLength), quote]);
    }
    return this.#automaton(rules, () => this.#strings.string(rules));
  }

  /** The node of what such rules leave: many values of a schema are alike, and an automaton takes milliseconds. */
  #automaton(rules: StringRules | NumberBounds, make: () => Dfa | null): number {
    const key = JSON.stringify(rules);
    let node = this.#automata.get(key);
    if (node === undefined) {
      const dfa = make();
      node = dfa === null ? this.#builder.anyOf([]) : this.#builder.dfa(dfa);
      this.#automata.set(key, node);
    }
    return node;
  }

  #array(members: Conjunction): number {
    const builder = this.#builder;
    const prefixes = members.map(({ prefixItems }) => (prefixItems ?? []) as readonly Schema[]);
    const fixed = Math.max(0, ...prefixes.map(({ length }) => length));
    const stated = members.flatMap(({ minItems }) => (typeof minItems === "number" ? [minItems] : []));
    // A list of fixed items is written whole where nothing is said of its length: readers of tuples ask for that.
    const min = stated.length === 0 ? fixed : Math.max(...stated);
    const hasMore = fixed === 0 || members.some(({ items }) => items !== undefined);
    const max = Math.min(least(members, "maxItems"), hasMore ? UNBOUNDED : fixed);
    if (max < min) return builder.anyOf([]);
    const item = (i: number) =>
      this.#value(
        conjunction(
          members.map(({ items }, m) =>
            i < prefixes[m].length ? prefixes[m][i] : ((items ?? true) as Schema),
          ),
        ),
      );
    const comma = builder.literal(this.#style.comma);
    const more = (from: number): number => builder.seq([comma, item(from)]);
    let rest: number | null = null;
    if (max > fixed) {
      rest = builder.repeat(more(fixed), Math.max(0, min - Math.max(fixed, 1)), max - Math.max(fixed, 1));
    }
    // From the last fixed item to the first: what may come behind each.
    const first = (i: number) => (i === 0 ? item(0) : more(i));
    for (let i = Math.min(Math.max(fixed, 1), max) - 1; i >= 0; i--) {
      const whole: number = rest === null ? first(i) : builder.seq([first(i), rest]);
      rest = i < min ? whole : builder.repeat(whole, 0, 1);
    }
    const [open, close] = [builder.literal("["), builder.literal("]")];
    return builder.seq(rest === null ? [open, close] : [open, rest, close]);
  }

  #object(members: Conjunction): number {
    const { properties, extra, keys, min, max } = propertiesOf(members);
    const fits = this.fittingNames(keys);
    const { comma, colon } = this.#style;
    const withColon = (key: number) => this.#builder.seq([key, this.#builder.literal(colon)]);
    return new ObjectNodes(this.#builder, {
      form: { open: "{", comma, close: "}" },
      ...{ properties, min, max },
      named: (name) => (fits(name) ? withColon(this.#builder.literal(JSON.stringify(name))) : null),
      value: ({ value }) => this.#value(value),
      extra:
        extra === null
          ? null
          : { named: () => withColon(this.#extraKey(properties, keys)), value: () => this.#value(extra) },
    }).node();
  }

  /** Whether texts are of a part of the grammar, which is made apart. */
  #fits(node: (others: SchemaCompiler) => number): (text: string) => boolean {
    const builder = new GrammarBuilder(this.#limits.maxNodes, this.#builder.work);
    const target = { builder, strings: this.#strings, limits: this.#limits, style: this.#style };
    const others = new SchemaCompiler(this.#alternatives, target);
    // Something that no JSON is: a grammar that nothing fits would be refused.
    const either = builder.anyOf([others.finished(node(others)), builder.literal("\0")]);
    const states = new GrammarStates(builder.grammar(either));
    return (text) => {
      const bytes = new TextEncoder().encode(text);
      builder.work.spend(bytes.length);
      const state = states.advance(states.first, bytes);
      return state !== null && states.open(state).mayEnd;
    };
  }

  #extraKey(properties: readonly Property[], keys: Conjunction): number {
    return this.#keyNode(
      keys,
      properties.map(({ name }) => name),
    );
  }

  /** Names that fit, but for some. */
  #keyNode(keys: Conjunction, except: readonly string[]): number {
    const builder = this.#builder;
    if (keys.length === 0) return this.#string({ ...ANY_STRING, except });
    const alternatives = this.#alternatives.of(keys).filter(({ types }) => types.has("string"));
    return builder.anyOf(
      alternatives.map((alternative) => {
        const { values, members } = alternative;
        if (values === null) return this.#string({ ...stringRules(members), except });
        const left = values.filter((value) => typeof value === "string" && !except.includes(value));
        return left.length === 0
          ? builder.anyOf([])
          : this.#listed({ ...alternative, types: new Set(["string"]), values: left });
      }),
    );
  }
}

/** Keywords beside `enum` and `const` that say no more of a value than was looked at. */
const TELL_NO_MORE: ReadonlySet<string> = new Set([
  ...["enum", "const", "type", "$ref", "$defs", "definitions", "allOf", "anyOf", "oneOf"],
  ...ANNOTATIONS,
]);

function leastCommon(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y !== 0) [x, y] = [y, x % y];
  return (a / x) * b;
}

/** What is said of a string. */
export function stringRules(members: Conjunction): StringRules {
  const texts = (keyword: string) => [
    ...new Set(members.flatMap((member) => (typeof member[keyword] === "string" ? [member[keyword]] : []))),
  ];
  return {
    minLength: Math.max(0, ...members.map(({ minLength }) => (minLength as number) ?? 0)),
    maxLength: least(members, "maxLength"),
    ...{ patterns: texts("pattern"), formats: texts("format"), except: [] },
  };
}
