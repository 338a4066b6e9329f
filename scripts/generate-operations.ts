/**
 * Writes both sides of the kernels' calling convention from their tables of operations, and the constants that both
 * sides know (src/kernels/wasm/operations.ts). A command is 32-bit words, and an f64 at a multiple of 8 bytes.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { LIMITS_OPERATIONS } from "../src/bench/limits-operations.js";
import {
  COMMAND,
  COMMAND_BYTES,
  COMMANDS_AT,
  OPERATIONS,
  type Operation,
  type ParameterType,
  SHARED_CONSTANTS,
} from "../src/kernels/wasm/operations.js";

type Table = Readonly<Record<string, Operation>>;

/** A value of a command: the type that assembly/ loads, and what TypeScript writes of the parameter `name`. */
interface Value {
  readonly type: "usize" | "i32" | "f32" | "f64";
  readonly of: (name: string) => string;
}

/** What TypeScript's method takes for a parameter, and the values that it writes. */
interface Convention {
  readonly takes: (name: string) => string;
  readonly values: readonly Value[];
}

const number = (type: Value["type"]): Convention => ({
  takes: (name) => `${name}: number`,
  values: [{ type, of: (name) => name }],
});

const weight: Convention = {
  takes: (name) => `${name}: LinearWeight`,
  values: [
    { type: "usize", of: (name) => `${name}.offset` },
    { type: "usize", of: (name) => `PACKED[${name}.dtype].panelBytes(${name}.inFeatures)` },
    { type: "i32", of: (name) => `${name}.inFeatures` },
    { type: "i32", of: (name) => `${name}.outFeatures` },
  ],
};

const CONVENTIONS: Readonly<Record<ParameterType, Convention>> = {
  matrix: {
    takes: (name) => `${name}: Tensor`,
    values: [
      { type: "usize", of: (name) => `${name}.offset` },
      { type: "usize", of: (name) => `4 * ${name}.stride` },
    ],
  },
  vector: {
    takes: (name) => `${name}: Tensor | null`,
    values: [{ type: "usize", of: (name) => `${name} === null ? 0 : ${name}.offset` }],
  },
  list: {
    takes: (name) => `${name}: IndexList`,
    values: [{ type: "usize", of: (name) => `${name}.offset` }],
  },
  weight,
  typedWeight: {
    ...weight,
    values: [...weight.values, { type: "i32", of: (name) => `FORM_NUMBER[${name}.dtype]` }],
  },
  stored: {
    takes: (name) => `${name}: StoredRows, cols: number`,
    values: [
      {
        type: "usize",
        of: (name) => `${name}.offset + storedBytes(${name}.dtype, ${name}.within?.from ?? 0)`,
      },
      { type: "i32", of: (name) => `${name}.within?.cols ?? cols` },
      { type: "i32", of: (name) => `STORED_NUMBER[${name}.dtype]` },
      { type: "i32", of: (name) => `${name}.firstRow` },
      { type: "i32", of: (name) => `${name}.rowCount` },
    ],
  },
  layer: {
    takes: (name) => `${name}: KvLayout, layer: number`,
    values: [
      { type: "usize", of: (name) => `${name}.offset + layer * ${name}.layerBytes` },
      { type: "usize", of: (name) => `${name}.blockBytes` },
      { type: "usize", of: (name) => `${name}.headBytes` },
      { type: "i32", of: (name) => `${name}.headDim` },
    ],
  },
  address: number("usize"),
  bytes: number("usize"),
  count: number("i32"),
  f32: number("f32"),
  f64: number("f64"),
};

const VIEWS: Readonly<Record<Value["type"], string>> = {
  usize: "words",
  i32: "words",
  f32: "floats",
  f64: "doubles",
};

/** What methods may need, by file of src/kernels/. */
const IMPORTS = [
  [["IndexList", "LinearWeight", "StoredRows", "Tensor"], "kernels.js", "type "],
  [["KvLayout"], "kv-layout.js", "type "],
  [["FORM_NUMBER", "STORED_NUMBER"], "wasm/operations.js", ""],
  [["PACKED"], "wasm/packed-types.js", ""],
  [["storedBytes"], "weight-types.js", ""],
] as const;

/** Writes all that is generated; files that have not changed are left alone. */
export async function generateOperations(root: string): Promise<void> {
  const write = async (path: string, text: string) => {
    const file = join(root, path);
    if ((await readFile(file, "utf8").catch(() => null)) === text) return;
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
  };
  const kernels = "src/kernels/wasm/operations.ts";
  const limits = "src/bench/limits-operations.ts";
  await write("assembly/generated/constants.ts", constants(kernels));
  await write("assembly/generated/dispatch.ts", dispatch(OPERATIONS, kernels) + products(OPERATIONS));
  await write("assembly/generated/limits-dispatch.ts", dispatch(LIMITS_OPERATIONS, limits));
  await write("src/kernels/wasm/commands.ts", commands(OPERATIONS, "KernelCommands", kernels));
  await write("src/bench/limits-commands.ts", commands(LIMITS_OPERATIONS, "LimitsCommands", limits));
}

function constants(source: string): string {
  const all = Object.entries(SHARED_CONSTANTS).flatMap(([name, value]) =>
    typeof value === "number"
      ? [[name, value] as const]
      : Object.entries(value).map(([entry, one]) => [`${name}_${entry.toUpperCase()}`, one] as const),
  );
  return [madeFrom(source), ...all.map(([name, value]) => `export const ${name}: i32 = ${value};\n`)].join(
    "",
  );
}

/** The values of an operation's parameters, each with its byte in the command. */
function valuesOf(name: string, { parameters }: Operation) {
  let end = 4 * COMMAND.parameters;
  const values = Object.entries(parameters).flatMap(([parameter, type]) =>
    CONVENTIONS[type].values.map((value) => {
      const bytes = value.type === "f64" ? 8 : 4;
      const at = Math.ceil(end / bytes) * bytes;
      end = at + bytes;
      return { type: value.type, written: value.of(parameter), at, index: at / bytes };
    }),
  );
  if (end > COMMAND_BYTES) throw new Error(`${name} has more parameters than a command has room for`);
  return values;
}

function dispatch(operations: Table, source: string): string {
  const imported = new Map<string, Set<string>>();
  for (const [name, { file, function: called = name }] of Object.entries(operations)) {
    imported.set(file, (imported.get(file) ?? new Set()).add(called.replace(/<.*/, "")));
  }
  const cases = Object.entries(operations).map(([name, operation], number) => {
    const values = valuesOf(name, operation).map(({ type, at }) => `load<${type}>(command, ${at})`);
    const share = ["from", "to", ...(operation.perThread ? ["thread"] : [])];
    const call = `${operation.function ?? name}(${[...values, ...share].join(", ")})`;
    return `    case ${number}: ${operation.answers ? `answer(command, ${call})` : call}; break;\n`;
  });
  const word = (index: number) => `load<i32>(command, ${4 * index})`;
  return `${madeFrom(source)}
${[...imported].map(([file, names]) => `import { ${[...names].join(", ")} } from "../${file}";\n`).join("")}
/** Where the caller writes commands, and the bytes of one. */
export const commands: usize = ${COMMANDS_AT};
export const commandBytes: usize = ${COMMAND_BYTES};

/** Items of an operation, and the chunks that they are cut into. */
@inline
export function items(command: usize): i32 {
  return ${word(COMMAND.items)};
}

@inline
export function chunks(command: usize): i32 {
  return ${word(COMMAND.chunks)};
}

/** The operation's answer has the bits of its parts' answers. */
@inline
function answer(command: usize, part: i32): void {
  if (part != 0) atomic.or<i32>(command, part, ${4 * COMMAND.answer});
}

/** Computes items \`from … to − 1\` of the operation of a command. */
export function compute(command: usize, from: i32, to: i32, thread: i32): void {
  switch (${word(COMMAND.operation)}) {
${cases.join("")}  }
}
`;
}

/** Which operations are products, and where in their commands is what reading ahead needs: the same in all. */
function products(operations: Table): string {
  const all = Object.entries(operations);
  const numbers = all.flatMap(([, { isProduct }], number) => (isProduct ? [number] : []));
  const places = new Set(
    numbers.map((number) => {
      const values = valuesOf(...all[number]);
      const at = (parameter: string) => values.find(({ written }) => written.startsWith(parameter))?.at;
      return [
        at("rows"),
        at("weight.offset"),
        at("PACKED[weight.dtype].panelBytes"),
        at("weight.inFeatures"),
      ].join(" ");
    }),
  );
  const [rows, weight, panelBytes, inFeatures, ...others] = [...places].join(" ").split(" ");
  if (others.length > 0) throw new Error("products have their weights in different places");
  return `
/** Whether a command is a product of one row by a weight. */
@inline
export function isProductOfOne(command: usize): bool {
  const operation = ${`load<i32>(command, ${4 * COMMAND.operation})`};
  return (${numbers.map((number) => `operation == ${number}`).join(" || ")}) && load<i32>(command, ${rows}) == 1;
}

/** Its weight, the bytes of a panel, and its inputs. */
@inline
export function weightOf(command: usize): usize {
  return load<usize>(command, ${weight});
}

@inline
export function panelBytesOf(command: usize): usize {
  return load<usize>(command, ${panelBytes});
}

@inline
export function inFeaturesOf(command: usize): i32 {
  return load<i32>(command, ${inFeatures});
}
`;
}

function commands(operations: Table, className: string, source: string): string {
  const path = relative(
    join(className === "KernelCommands" ? "src/kernels/wasm" : "src/bench"),
    "src/kernels",
  );
  const methods = Object.entries(operations).map(([name, operation], number) => {
    const taken = Object.entries(operation.parameters).map(([parameter, type]) =>
      CONVENTIONS[type].takes(parameter),
    );
    const values = valuesOf(name, operation);
    const views = [...new Set(values.map(({ type }) => VIEWS[type]))];
    const run = `team.${operation.answers ? "run" : "add"}(${number}, items, chunks)`;
    return `
  /** \`${operation.function ?? name}\` of assembly/${operation.file}.ts. @param items ${operation.items} */
  ${name}(${["items: number", "chunks: number", ...taken].join(", ")}): ${operation.answers ? "number" : "void"} {
    const team = this.#team;
    const { at, ${views.join(", ")} } = team;
${values.map(({ type, index, written }) => `    ${VIEWS[type]}[${type === "f64" ? "at / 2" : "at"} + ${index}] = ${written};\n`).join("")}    ${operation.answers ? "return " : ""}${run};
  }
`;
  });
  const body = methods.join("");
  const imports = IMPORTS.flatMap(([names, file, kind]) => {
    const used = names.filter((name) => new RegExp(`\\b${name}\\b`).test(body));
    return used.length === 0 ? [] : [`import ${kind}{ ${used.join(", ")} } from "${path}/${file}";\n`];
  });
  return `${madeFrom(source)}import type { ThreadTeam } from "${path}/wasm/thread-team.js";
${imports.join("")}
/** Writes commands and hands them to a team: each method is an operation, cut into \`chunks\` pieces of its items. */
export class ${className} {
  readonly #team: ThreadTeam;

  constructor(team: ThreadTeam) {
    this.#team = team;
  }
${body}}
`;
}

function madeFrom(source: string): string {
  return `// Made by scripts/generate-operations.ts from ${source}.\n`;
}
