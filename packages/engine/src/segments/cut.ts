/**
 * Cuts a graph into segments that run one after another. A *stage* is what computes some of the results before the others: stage
 * k computes what its own results need and no stage before it has computed. Within a stage the nodes of ONNX Runtime and those
 * of our own kernels take turns, in as few segments as there can be. Pure: it knows names and who reads whom, not what is
 * computed.
 *
 * A value that another segment reads is *carried* to it, unless the segment makes it again at next to no cost: from weights and
 * samples alone by moving elements about, or from a carried value by giving it another shape. Otherwise a transposed weight
 * would be carried beside the weight, and an activation twice.
 */

export interface GraphNode {
  readonly type: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Computed by a kernel of ours. */
  readonly isOwn?: boolean;
}

export interface Segment<Node> {
  readonly stage: number;
  /** All of its nodes are, or none. */
  readonly isOwn: boolean;
  /** In an order in which every node stands after its inputs. */
  readonly nodes: readonly Node[];
  /** Values that earlier segments computed. */
  readonly carriedIn: readonly string[];
  /** Values that later segments read. */
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
 * @param nodes in any order.
 * @param results names of the values that each stage is to compute.
 * @returns in the order in which they run; every stage has one segment at least.
 */
export function cutIntoSegments<Node extends GraphNode>(
  nodes: readonly Node[],
  results: readonly (readonly string[])[],
): Segment<Node>[] {
  const graph = new SegmentedGraph(nodes, results);
  return graph.segments();
}

/** What takes its turn: even turns are ONNX Runtime's, odd ones our kernels'. */
interface Place {
  readonly stage: number;
  readonly turn: number;
}

class SegmentedGraph<Node extends GraphNode> {
  private readonly producers = new Map<string, Node>();
  private readonly places = new Map<Node, Place>();
  private readonly ofLeaves = new Set<Node>();
  /** Values that must be where they can be read from outside. */
  private readonly wanted: ReadonlySet<string>;
  private readonly nodes: readonly Node[];

  constructor(
    nodes: readonly Node[],
    private readonly results: readonly (readonly string[])[],
  ) {
    this.wanted = new Set([...results.flat(), ...nodes.flatMap((node) => (node.isOwn ? node.inputs : []))]);
    for (const node of nodes) for (const name of node.outputs) this.producers.set(name, node);
    this.nodes = this.sorted(nodes);
    for (const node of this.nodes) {
      if (MOVES.has(node.type) && node.inputs.every((name) => this.isOfLeaves(name))) this.ofLeaves.add(node);
    }
    this.assignPlaces();
  }

  segments(): Segment<Node>[] {
    const members = this.orderedPlaces().map((place) => ({ place, ...this.membersAt(place) }));
    const carried = new Set(members.flatMap(({ carriedIn }) => [...carriedIn]));
    return members.map(({ place, own, carriedIn }) => {
      const nodes = this.nodes.filter((node) => own.has(node));
      const carriedOut = nodes.flatMap(({ outputs }) => outputs).filter((name) => carried.has(name));
      return { stage: place.stage, isOwn: isOwnTurn(place), nodes, carriedIn: [...carriedIn], carriedOut };
    });
  }

  /** Kept order as far as possible; a node of ours may stand before what it needs. */
  private sorted(nodes: readonly Node[]): Node[] {
    const done = new Set<Node>();
    const pending = [...nodes].reverse();
    // An explicit stack: unrolled recurrences are deeper than the call stack.
    for (let node = pending.at(-1); node; node = pending.at(-1)) {
      const missing = done.has(node) ? [] : this.producersOf(node).filter((producer) => !done.has(producer));
      if (missing.length > 0) pending.push(...missing.reverse());
      else done.add(pending.pop() as Node);
    }
    return [...done];
  }

  /** Each node in the first stage that needs it, and there in the first turn in which it can be computed. */
  private assignPlaces(): void {
    const stages = new Map<Node, number>();
    this.results.forEach((names, stage) => {
      this.claim(names, stage, stages);
    });
    for (const node of this.nodes) {
      const stage = stages.get(node);
      if (stage === undefined) continue;
      const turns = this.producersOf(node)
        .filter((producer) => stages.get(producer) === stage)
        .map((producer) => this.turnAfter(producer, node));
      this.places.set(node, { stage, turn: Math.max(node.isOwn ? 1 : 0, ...turns) });
    }
  }

  private turnAfter(producer: Node, node: Node): number {
    const { turn } = this.places.get(producer) as Place;
    return isOwnTurn({ turn }) === (node.isOwn ?? false) ? turn : turn + 1;
  }

  /** Gives a stage everything that `names` need and nobody has yet. */
  private claim(names: readonly string[], stage: number, stages: Map<Node, number>): void {
    const pending = names.map((name) => this.producers.get(name));
    for (let node = pending.pop(); node || pending.length > 0; node = pending.pop()) {
      if (!node || stages.has(node)) continue;
      stages.set(node, stage);
      pending.push(...this.producersOf(node));
    }
  }

  /** Those with nodes, and the first turn of each stage. */
  private orderedPlaces(): Place[] {
    const used = this.nodes.flatMap((node) => (this.isMadeAgain(node) ? [] : (this.places.get(node) ?? [])));
    const all = [...this.results.keys()].map((stage) => ({ stage, turn: 0 })).concat(used);
    const byKey = new Map(all.map((place) => [`${place.stage} ${place.turn}`, place]));
    return [...byKey.values()].sort((a, b) => a.stage - b.stage || a.turn - b.turn);
  }

  /** The segment's nodes, those that it computes again among them, and what it must be given. */
  private membersAt({ stage, turn }: Place): { own: Set<Node>; carriedIn: Set<string> } {
    const isHere = (node: Node) => this.places.get(node)?.stage === stage && this.places.get(node)?.turn === turn;
    const own = new Set(this.nodes.filter((node) => isHere(node) && !this.isMadeAgain(node)));
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
    const isCheap = this.ofLeaves.has(node) || RESHAPES.has(node.type);
    return isCheap && !node.outputs.some((name) => this.wanted.has(name));
  }

  private isOfLeaves(name: string): boolean {
    const producer = this.producers.get(name);
    return producer === undefined || this.ofLeaves.has(producer);
  }

  private producersOf({ inputs }: Node): Node[] {
    return inputs.flatMap((name) => this.producers.get(name) ?? []);
  }
}

const isOwnTurn = ({ turn }: { turn: number }): boolean => turn % 2 === 1;
