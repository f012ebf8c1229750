"""`train`: passes the command line to the trainer's own."""


def main(argv: list[str]) -> int:
    from studio.training.cli import main as train

    return train(argv)
