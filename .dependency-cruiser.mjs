/**
 * Which folder may import what, imports of types counted: arrows point down, and there are no circles, neither of files nor
 * of folders; of files, not of kernels, benchmarks and scripts either. `npm run layers` checks it; docs/architecture.md draws it.
 */

/** From the top to the bottom. A folder imports from the floors below it; folders of one floor know nothing of each other. */
const FLOORS = [
  ["cli"],
  ["server", "bench"],
  ["explain", "tier"],
  ["library"],
  ["client", "engine"],
  ["saved-sequence", "chat"],
  ["platform"],
  ["hub", "protocol"],
  ["architectures", "tools"],
  ["model", "tokenizer", "kv-cache"],
  ["grammar"],
  ["sampling", "formats"],
  ["kernels"],
  ["numerics"],
];

/** Files of the ground: everything may import them, and they import each other only. */
const GROUND =
  "^src/(abort-listeners|duration|errors|fetched-code|inspect|memory-size|option-checks|option-names|printable|quote-value|version)\\.ts$";

/** What the package exports, by name or as it is resolved. */
const ENTRIES = [
  "^lastrow(/(explain|sampling|stories))?$",
  "^(src|dist)/(index|stories|explain/index|sampling/index)\\.(js|d\\.ts|ts)$",
];

const folder = (names) => `^src/(${names.join("|")})/`;

const upwards = FLOORS.map((names, floor) => ({
  name: `${names.join("-and-")}-looks-down`,
  severity: "error",
  from: { path: folder(names) },
  to: {
    path: ["^src/", "^explorer/"],
    pathNot: [GROUND, ...FLOORS.slice(floor + 1).flatMap((below) => folder(below)), "^src/$1/"],
  },
}));

export default {
  forbidden: [
    { name: "no-circle-of-files", severity: "error", from: {}, to: { circular: true } },
    {
      name: "no-circle-of-folders",
      severity: "error",
      scope: "folder",
      from: { path: "^(src|explorer|assembly|bench)(/|$)" },
      to: { circular: true },
    },
    {
      name: "what-is-published-stands-alone",
      severity: "error",
      from: { path: "^(src|explorer)/" },
      to: { path: "^(assembly|bench|scripts|test)/" },
    },
    ...upwards,
    {
      name: "every-folder-has-a-floor",
      severity: "error",
      from: { path: "^src/[^/]+/", pathNot: folder(FLOORS.flat()) },
      to: {},
    },
    {
      name: "ground-stays-on-the-ground",
      severity: "error",
      from: { path: GROUND },
      to: { path: "^src/", pathNot: GROUND },
    },
    {
      name: "the-client-of-redis-in-its-store-alone",
      severity: "error",
      from: { pathNot: "^src/tier/redis-store\\.ts$" },
      to: { path: "(^|/)node_modules/ioredis/" },
    },
    {
      name: "explorer-imports-what-the-package-exports",
      severity: "error",
      from: { path: "^explorer/" },
      to: { path: ["^src/", "^dist/", "^lastrow"], pathNot: ENTRIES },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    doNotFollow: { path: "node_modules" },
    exclude: { path: "\\.test\\.ts$" },
  },
};
