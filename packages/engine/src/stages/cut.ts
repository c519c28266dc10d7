/**
 * Cuts a graph into stages that run one after another. Stage k computes what its own results need and no stage before it has
 * computed. Pure: it knows names and who reads whom, not what is computed.
 *
 * A value that a later stage reads is *carried* to it, unless the stage makes it again at next to no cost: from weights and
 * samples alone by moving elements about, or from a carried value by giving it another shape. Otherwise a transposed weight
 * would be carried beside the weight, and an activation twice.
 */

export interface GraphNode {
  readonly type: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

export interface Stage<Node> {
  /** In an order in which every node stands after its inputs. */
  readonly nodes: readonly Node[];
  /** Values that earlier stages computed. */
  readonly carriedIn: readonly string[];
  /** Values that later stages read. */
  readonly carriedOut: readonly string[];
}

const RESHAPES: ReadonlySet<string> = new Set(['Reshape', 'Squeeze', 'Unsqueeze', 'Identity', 'Flatten']);
const MOVES: ReadonlySet<string> = new Set([
  ...RESHAPES,
  'Transpose',
  'Slice',
  'Concat',
  'Expand',
  'Cast',
  'Pad',
  'ReorderInput',
  'ReorderOutput',
]);

/**
 * @param nodes in an order in which every node stands after its inputs.
 * @param results names of the values that each stage is to compute.
 */
export function cutIntoStages<Node extends GraphNode>(
  nodes: readonly Node[],
  results: readonly (readonly string[])[],
): Stage<Node>[] {
  const graph = new StagedGraph(nodes);
  results.forEach((names, stage) => {
    graph.claim(names, stage);
  });
  return graph.stages(results.length);
}

class StagedGraph<Node extends GraphNode> {
  private readonly producers = new Map<string, Node>();
  private readonly stageOf = new Map<Node, number>();
  private readonly ofLeaves = new Set<Node>();

  constructor(private readonly nodes: readonly Node[]) {
    for (const node of nodes) {
      for (const name of node.outputs) this.producers.set(name, node);
      if (MOVES.has(node.type) && node.inputs.every((name) => this.isOfLeaves(name))) this.ofLeaves.add(node);
    }
  }

  /** Gives a stage everything that `names` need and nobody has yet. */
  claim(names: readonly string[], stage: number): void {
    const pending = names.map((name) => this.producers.get(name));
    for (let node = pending.pop(); node || pending.length > 0; node = pending.pop()) {
      if (!node || this.stageOf.has(node)) continue;
      this.stageOf.set(node, stage);
      pending.push(...node.inputs.map((name) => this.producers.get(name)));
    }
  }

  stages(count: number): Stage<Node>[] {
    const members = Array.from({ length: count }, (_, stage) => this.membersOf(stage));
    const carried = new Set(members.flatMap(({ carriedIn }) => [...carriedIn]));
    return members.map(({ own, carriedIn }) => {
      const nodes = this.nodes.filter((node) => own.has(node));
      const made = nodes.flatMap(({ outputs }) => outputs).filter((name) => carried.has(name));
      return { nodes, carriedIn: [...carriedIn], carriedOut: made };
    });
  }

  /** The stage's nodes, those that it computes again among them, and what it must be given. */
  private membersOf(stage: number): { own: Set<Node>; carriedIn: Set<string> } {
    const own = new Set(this.nodes.filter((node) => this.stageOf.get(node) === stage));
    const carriedIn = new Set<string>();
    const pending = [...own].flatMap(({ inputs }) => inputs);
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      const producer = this.producers.get(name);
      if (!producer || own.has(producer)) continue;
      if (this.isMadeAgain(producer)) {
        own.add(producer);
        pending.push(...producer.inputs);
      } else carriedIn.add(name);
    }
    return { own, carriedIn };
  }

  private isMadeAgain(node: Node): boolean {
    return this.ofLeaves.has(node) || RESHAPES.has(node.type);
  }

  private isOfLeaves(name: string): boolean {
    const producer = this.producers.get(name);
    return producer === undefined || this.ofLeaves.has(producer);
  }
}
