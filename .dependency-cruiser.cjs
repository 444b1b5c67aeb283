// Folders in the order in which they build on each other: a folder may import itself and those before it.
const order = [
  "torch",
  "tensor",
  "nn",
  "quantization",
  "hub",
  "models",
  "text",
  "data",
  "peft",
  "generation",
  "optim",
  "training",
  "trainers",
  "craft",
  "evaluation",
  "report",
  "cli",
];
const rules = order.map((folder, i) => ({
  name: `${folder}-imports-only-upwards`,
  severity: "error",
  from: { path: `^src/${folder}/` },
  to: { path: `^src/(${[...order.slice(i + 1), "index\\.ts"].join("|")})` },
}));
module.exports = {
  forbidden: [
    ...rules,
    {
      name: "no-cycles",
      severity: "error",
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    {
      name: "ffi-only-in-torch",
      severity: "error",
      from: { path: "^src/(?!torch/)" },
      to: { path: "koffi" },
    },
    { name: "no-unresolved", severity: "error", from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default"] },
  },
};
