import { diagnose, type Diagnosis } from "../torch/diagnose.js";

export interface DoctorCommand {
  readonly json?: boolean;
}

/** `craft doctor`: tells what was found, by which rule, and what is wrong. Returns 1 when something is. */
export async function run({ json = false }: DoctorCommand): Promise<number> {
  const diagnosis = await diagnose();
  process.stdout.write(json ? `${JSON.stringify(toReport(diagnosis))}\n` : toText(diagnosis));
  return diagnosis.problems.length === 0 ? 0 : 1;
}

/** The object that `craft doctor --json` prints. */
export function toReport({ location, attempts, environment, disk, variables, problems }: Diagnosis): object {
  const { processor, compute, threads, memory, node, platform, glibc } = environment;
  return {
    ok: problems.length === 0,
    version: location?.version ?? null,
    path: location?.libDir ?? null,
    rule: location?.rule ?? null,
    device: location?.device ?? null,
    attempts,
    threads,
    processor,
    dtype: compute.dtype,
    dtype_reason: compute.reason,
    disk,
    memory,
    node,
    platform,
    glibc: glibc ?? null,
    variables,
    problems,
  };
}

/** The report for people. */
export function toText({ location, attempts, environment, disk, variables, problems }: Diagnosis): string {
  const { processor, compute, threads, memory, node, platform, glibc } = environment;
  const giga = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
  const rows: [string, string][] = [
    [
      "libtorch",
      location === undefined ? "none that works" : `${location.version}, ${location.device} build`,
    ],
    ...(location === undefined
      ? []
      : ([
          ["path", location.libDir],
          ["rule", location.rule],
        ] as [string, string][])),
    ...attempts.map(({ rule, path, outcome }, i): [string, string] => [
      i === 0 ? "tried" : "",
      `${rule}: ${path === undefined ? "" : `${path}: `}${outcome}`,
    ]),
    ["threads", String(threads)],
    ["processor", processor.model],
    ["features", processor.features.length === 0 ? "not told by the system" : processor.features.join(" ")],
    ["dtype", `${compute.dtype}: ${compute.reason}`],
    ["memory", `${giga(memory.free_bytes)} free of ${giga(memory.total_bytes)}`],
    ["disk", `${giga(disk.free_bytes)} free at ${disk.path}`],
    ["system", `${platform}, node ${node}${glibc === undefined ? "" : `, glibc ${glibc}`}`],
    ...Object.entries(variables).map(([name, value], i): [string, string] => [
      i === 0 ? "set" : "",
      `${name}=${value}`,
    ]),
  ];
  const table = rows.map(([name, value]) => `${name.padEnd(10)} ${value}`.trimEnd()).join("\n");
  const verdict =
    problems.length === 0
      ? "All is well."
      : `${problems.length === 1 ? "Problem" : "Problems"}:\n${problems.map((problem) => `  - ${problem}`).join("\n")}`;
  return `${table}\n\n${verdict}\n`;
}
