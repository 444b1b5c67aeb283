/** Where an installation stands. `done` and `total` are bytes, where a stage counts them. */
export interface InstallProgress {
  readonly stage: "wait" | "pip" | "download" | "unpack" | "verify";
  readonly message: string;
  readonly done?: number;
  readonly total?: number;
}

/** Shows an installation on a stream; `stop` ends what is being drawn. */
export interface ProgressView {
  readonly show: (progress: InstallProgress) => void;
  readonly stop: () => void;
}

const mega = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;

/**
 * A view of an installation for people: a bar in a terminal, else one line a stage and one each quarter of it.
 */
export async function progressView(stream: NodeJS.WriteStream = process.stderr): Promise<ProgressView> {
  return stream.isTTY ? terminalView(stream) : lineView((line) => stream.write(`${line}\n`));
}

/** One line a stage, and one for each quarter of a counted stage. */
export function lineView(write: (line: string) => void): ProgressView {
  let message = "";
  let quarter = 0;
  const show = (progress: InstallProgress): void => {
    if (progress.message !== message) {
      message = progress.message;
      quarter = 0;
      write(`craft: ${message}${progress.total === undefined ? "" : ` (${mega(progress.total)})`}`);
    }
    if (progress.done === undefined || progress.total === undefined || progress.total === 0) return;
    const reached = Math.floor((4 * progress.done) / progress.total);
    if (reached <= quarter) return;
    quarter = reached;
    write(`craft: ${message}: ${reached * 25}%`);
  };
  return { show, stop: () => undefined };
}

async function terminalView(stream: NodeJS.WriteStream): Promise<ProgressView> {
  const { default: progress } = await import("cli-progress");
  let bar: InstanceType<typeof progress.SingleBar> | undefined;
  let message = "";
  const stop = (): void => {
    bar?.stop();
    bar = undefined;
  };
  const show = (state: InstallProgress): void => {
    if (state.message !== message) {
      stop();
      message = state.message;
      if (state.total === undefined) stream.write(`${message}\n`);
    }
    if (state.done === undefined || state.total === undefined) return;
    if (bar === undefined) {
      const format = `${message} {bar} {percentage}% of ${mega(state.total)}, {eta_formatted} left`;
      bar = new progress.SingleBar({ format, stream, hideCursor: true }, progress.Presets.shades_classic);
      bar.start(state.total, state.done);
    }
    bar.update(state.done);
  };
  return { show, stop };
}
