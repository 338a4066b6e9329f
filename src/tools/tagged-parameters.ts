/**
 * The arguments of a call between tags, one after the other, as nodes of a grammar: texts as they are, everything else as JSON.
 * What `TaggedArguments` reads of them is an object that fits the schema.
 */
import { invalidArgument } from "../errors.js";
import {
  conjunction,
  ObjectNodes,
  type Property,
  propertiesOf,
} from "../grammar/json-schema/object-nodes.js";
import {
  type Alternative,
  type Conjunction,
  SchemaAlternatives,
} from "../grammar/json-schema/schema-alternatives.js";
import { SchemaCompiler, type SchemaTarget, stringRules } from "../grammar/json-schema/schema-grammar.js";
import type { JsonType, Schema } from "../grammar/json-schema/schema-types.js";
import { ANY_STRING } from "../grammar/json-schema/strings.js";
import { argumentNames, argumentTypes } from "./argument-types.js";
import { MAX_NAME_LENGTH, VALUE_END, VALUE_TAG } from "./call-arguments.js";
import { isOtherwiseRead, type TaggedStrings } from "./tagged-strings.js";

/**
 * Puts them into a grammar, to the tag that ends them.
 * @throws LastrowError `invalid_argument`
 */
export function addTagged(schema: Schema, target: SchemaTarget, strings: TaggedStrings): number {
  return new TaggedParameters(schema, target, strings).node();
}

class TaggedParameters {
  readonly #schema: Schema;
  readonly #target: SchemaTarget;
  readonly #strings: TaggedStrings;
  readonly #alternatives: SchemaAlternatives;
  readonly #compiler: SchemaCompiler;
  /** Names that are declared anywhere: no other argument has them. */
  readonly #declared: readonly string[];

  constructor(schema: Schema, target: SchemaTarget, strings: TaggedStrings) {
    this.#schema = schema;
    this.#target = target;
    this.#strings = strings;
    this.#alternatives = new SchemaAlternatives(schema, target.limits, target.builder.work);
    this.#compiler = new SchemaCompiler(this.#alternatives, target);
    this.#declared = argumentNames(schema);
  }

  node(): number {
    const all = conjunction([this.#schema, { type: "object" }]);
    const alternatives = all === null ? [] : this.#alternatives.of(all);
    const node = this.#target.builder.anyOf(alternatives.map((one) => this.#object(one)));
    return this.#compiler.finished(node);
  }

  #object({ values, members }: Alternative): number {
    const { builder } = this.#target;
    if (values !== null) {
      throw invalidArgument(
        "enum and const of all arguments at once are not supported in this model's form of calls; give each argument its own.",
      );
    }
    const { properties, extra, keys, min, max } = propertiesOf(members);
    const fits = this.#compiler.fittingNames(keys);
    return new ObjectNodes(builder, {
      form: { open: "", comma: "", close: "</function>" },
      ...{ properties, min, max },
      named: (name) => (fits(name) ? builder.literal(`<parameter=${checkedName(name)}>\n`) : null),
      value: ({ name, value }: Property) => this.#value(value, argumentTypes(this.#schema, name)),
      extra:
        extra === null
          ? null
          : {
              named: () =>
                builder.seq([builder.literal("<parameter="), this.#otherName(keys), builder.literal(">\n")]),
              value: () => this.#value(extra, argumentTypes(this.#schema, null)),
            },
    }).node();
  }

  #otherName(keys: Conjunction): number {
    const { builder } = this.#target;
    const except = this.#declared;
    if (keys.length === 0) return this.#strings.name({ ...ANY_STRING, except });
    const alternatives = this.#alternatives.of(keys).filter(({ types }) => types.has("string"));
    return builder.anyOf(
      alternatives.map((alternative) => {
        if (alternative.values === null)
          return this.#strings.name({ ...stringRules(alternative.members), except });
        const names = this.#compiler.listedValues({ ...alternative, types: new Set(["string"]) });
        const others = names.filter((name) => typeof name === "string" && !except.includes(name)) as string[];
        return builder.anyOf(others.map((name) => builder.literal(checkedName(name))));
      }),
    );
  }

  /** A value, and its end. */
  #value(all: Conjunction | null, types: ReadonlySet<JsonType>): number {
    const { builder } = this.#target;
    const alternatives = all === null ? [] : this.#alternatives.of(all);
    return builder.anyOf(alternatives.flatMap((one) => [this.#text(one, types), this.#other(one)]));
  }

  #text(alternative: Alternative, types: ReadonlySet<JsonType>): number {
    const { builder } = this.#target;
    if (!alternative.types.has("string")) return builder.anyOf([]);
    if (alternative.values === null) return this.#strings.value(stringRules(alternative.members), types);
    const texts = this.#compiler
      .listedValues({ ...alternative, types: new Set(["string"]) })
      .filter((value) => typeof value === "string" && canBeRead(value, types)) as string[];
    return builder.anyOf(texts.map((text) => builder.literal(text + VALUE_END)));
  }

  /** What is no text, as JSON. */
  #other(alternative: Alternative): number {
    const { builder } = this.#target;
    const types = new Set<JsonType>([...alternative.types].filter((type) => type !== "string"));
    const values = alternative.values?.filter((value) => typeof value !== "string") ?? null;
    if (types.size === 0 || values?.length === 0) return builder.anyOf([]);
    const json = this.#compiler.fitting({ ...alternative, types, values });
    const listed = values === null ? null : this.#compiler.listedValues({ ...alternative, types, values });
    const allows = (value: boolean | null, type: JsonType) =>
      listed === null ? types.has(type) : listed.includes(value);
    // Templates show them as Python writes them.
    const shown = [
      ...(allows(true, "boolean") ? [builder.literal("True")] : []),
      ...(allows(false, "boolean") ? [builder.literal("False")] : []),
      ...(allows(null, "null") ? [builder.literal("None")] : []),
    ];
    return builder.seq([builder.anyOf([json, ...shown]), builder.literal(VALUE_END)]);
  }
}

/** @throws LastrowError `invalid_argument` for a name that cannot be told from its tag */
function checkedName(name: string): string {
  if (name !== "" && name.length <= MAX_NAME_LENGTH && !/[>\n]|^\s/.test(name)) return name;
  throw invalidArgument(
    `#/properties/${name}: this model's form of calls has no way to write this name; leave out line breaks and ">", and white space in front.`,
  );
}

/** Whether a listed text is read as itself. */
function canBeRead(text: string, types: ReadonlySet<JsonType>): boolean {
  return !text.includes(VALUE_TAG) && !isOtherwiseRead(text, types);
}
