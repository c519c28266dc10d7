/** Typed arrays that grow by doubling, for values whose number is known only at the end. */
const FIRST_LENGTH = 1024;

export class GrowingFloat32 {
  #array = new Float32Array(FIRST_LENGTH);
  #length = 0;

  push(value: number): void {
    if (this.#length === this.#array.length) {
      const larger = new Float32Array(this.#length * 2);
      larger.set(this.#array);
      this.#array = larger;
    }
    this.#array[this.#length++] = value;
  }

  values(): Float32Array {
    return this.#array.subarray(0, this.#length);
  }
}

export class GrowingInt32 {
  #array = new Int32Array(FIRST_LENGTH);
  #length = 0;

  push(value: number): void {
    if (this.#length === this.#array.length) {
      const larger = new Int32Array(this.#length * 2);
      larger.set(this.#array);
      this.#array = larger;
    }
    this.#array[this.#length++] = value;
  }

  values(): Int32Array {
    return this.#array.subarray(0, this.#length);
  }
}
