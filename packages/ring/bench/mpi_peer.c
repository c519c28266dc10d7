// MPI_Allreduce of float32 as a contender: rank 0 obeys one line "BYTES ITERATIONS" at a time on stdin, and answers in JSON.
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static float value(int rank, long index) { return ((index % 251) - 125) * 0.5f + (rank + 1) * 0.25f; }

static float expected(int ranks, long index) {
  return ((index % 251) - 125) * 0.5f * ranks + ranks * (ranks + 1) / 8.0f;
}

static long countWrong(const float *buffer, long count, int ranks) {
  long wrong = 0, total = 0;
  for (long index = 0; index < count; index++)
    if (buffer[index] != expected(ranks, index)) wrong++;
  MPI_Reduce(&wrong, &total, 1, MPI_LONG, MPI_SUM, 0, MPI_COMM_WORLD);
  return total;
}

static void run(long bytes, long iterations, int rank, int ranks) {
  long count = bytes / 4;
  float *source = malloc(count * sizeof(float) + 1), *buffer = malloc(count * sizeof(float) + 1);
  double *ms = malloc(iterations * sizeof(double));
  for (long index = 0; index < count; index++) source[index] = value(rank, index);
  for (long iteration = 0; iteration < iterations; iteration++) {
    memcpy(buffer, source, count * sizeof(float));
    MPI_Barrier(MPI_COMM_WORLD);
    double start = MPI_Wtime();
    MPI_Allreduce(MPI_IN_PLACE, buffer, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    ms[iteration] = (MPI_Wtime() - start) * 1000;
  }
  long wrong = countWrong(buffer, count, ranks);
  if (rank == 0) {
    printf("{\"ms\":[");
    for (long iteration = 0; iteration < iterations; iteration++) printf("%s%.6f", iteration ? "," : "", ms[iteration]);
    printf("],\"wrong\":%ld}\n", wrong);
    fflush(stdout);
  }
  free(source);
  free(buffer);
  free(ms);
}

// OpenMPI spins in blocking calls. Whoever waits for its turn must sleep, or it takes the processor from the others.
static void shareCommand(long command[2]) {
  const struct timespec nap = {0, 500000};
  MPI_Request request;
  int isDone = 0;
  MPI_Ibcast(command, 2, MPI_LONG, 0, MPI_COMM_WORLD, &request);
  for (MPI_Test(&request, &isDone, MPI_STATUS_IGNORE); !isDone; MPI_Test(&request, &isDone, MPI_STATUS_IGNORE))
    nanosleep(&nap, NULL);
}

int main(int argc, char **argv) {
  int rank, ranks;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  if (rank == 0) printf("{\"ready\":true}\n"), fflush(stdout);
  for (;;) {
    long command[2] = {0, 0};
    if (rank == 0 && scanf("%ld %ld", &command[0], &command[1]) != 2) command[1] = 0;
    shareCommand(command);
    if (command[1] <= 0) break;
    run(command[0], command[1], rank, ranks);
  }
  MPI_Finalize();
  return 0;
}
