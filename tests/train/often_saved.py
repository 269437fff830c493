"""`aae-train` that saves after every step, so that a kill finds a checkpoint from the middle of a run."""

from aae_train import cli, stage

if __name__ == "__main__":
    stage.CHECKPOINT_SECONDS = 0.0
    cli.main()
