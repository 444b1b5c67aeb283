/** Inner products of the tasks' mean gradients, known parameter by parameter. */
export class TaskGradients {
  /** [task][task][parameter] */
  readonly #products: readonly (readonly (readonly number[])[])[];

  /** @param products symmetric in the tasks: `products[i][j][p]` is that of tasks i and j on parameter p */
  constructor(products: readonly (readonly (readonly number[])[])[]) {
    this.#products = products;
  }

  /** Inner product of two tasks' gradients over all parameters. */
  product(i: number, j: number): number {
    return this.#of(i, j).reduce((sum, value) => sum + value, 0);
  }

  /** Euclidean norm of a task's gradient over all parameters. */
  norm(i: number): number {
    return Math.sqrt(this.product(i, i));
  }

  /**
   * Norm of a task's gradient over the parameters that the tasks share: those on which each of them has a gradient. A
   * projection head or a language model's head, which one task alone trains, says nothing of how the tasks compare.
   */
  sharedNorm(i: number): number {
    const squares = this.#products.map((row, task) => row[task]!);
    return Math.sqrt(
      this.#of(i, i).reduce(
        (sum, value, parameter) => (squares.every((of) => of[parameter] !== 0) ? sum + value : sum),
        0,
      ),
    );
  }

  /** The same for gradients that are multiplied by factors, one for each task. */
  scaled(factors: readonly number[]): TaskGradients {
    return new TaskGradients(
      this.#products.map((row, i) =>
        row.map((values, j) => values.map((value) => value * factors[i]! * factors[j]!)),
      ),
    );
  }

  #of(i: number, j: number): readonly number[] {
    return this.#products[i]?.[j] ?? [];
  }
}
