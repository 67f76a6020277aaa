"""Run the workloads on PySpark, in two processes on this machine, with RDDs or with DataFrames.

python -m benchmarks.peers.on_spark rdd|dataframe JOB OUTPUT INPUT...
"""

import json
import sys
from typing import Any

from pyspark import RDD  # type: ignore[import-not-found] # only in the environment of the peers
from pyspark.sql import DataFrame, SparkSession  # type: ignore[import-not-found] # likewise
from pyspark.sql import functions as sql

KEY_LENGTH = 10
PARTS = 8


class Rdd:
    """Run with RDDs, which call a Python function for each record."""

    def __init__(self, spark: SparkSession, inputs: str) -> None:
        self.lines = spark.sparkContext.textFile(inputs)

    def word_count(self) -> RDD:
        return self.lines.flatMap(str.split).map(lambda word: (word, 1)).reduceByKey(lambda a, b: a + b, PARTS)

    def log_totals(self) -> RDD:
        def pair(line: str) -> tuple[tuple[str, int], tuple[int, int]]:
            entry = json.loads(line)
            return (entry["url"], entry["status"]), (1, entry["bytes"])

        return self.lines.map(pair).reduceByKey(lambda a, b: (a[0] + b[0], a[1] + b[1]), PARTS)

    def shuffle(self) -> RDD:
        pairs = self.lines.map(lambda line: (line[:KEY_LENGTH], line[KEY_LENGTH:]))
        return pairs.repartitionAndSortWithinPartitions(PARTS)

    def save(self, job: str, output: str) -> None:
        getattr(self, job)().map(as_line).saveAsTextFile(output)


class Dataframe:
    """Run with DataFrames, which call no Python function."""

    def __init__(self, spark: SparkSession, inputs: str) -> None:
        spark.conf.set("spark.sql.shuffle.partitions", PARTS)
        self.spark, self.inputs = spark, inputs.split(",")

    def word_count(self) -> DataFrame:
        words = self.spark.read.text(self.inputs).select(sql.explode(sql.split("value", " ")).alias("word"))
        counts = words.where("word != ''").groupBy("word").count()
        return counts.select(sql.concat_ws("\t", "word", "count"))

    def log_totals(self) -> DataFrame:
        entries = self.spark.read.schema("url string, status int, bytes long").json(self.inputs)
        totals = entries.groupBy("url", "status").agg(sql.count("*").alias("hits"), sql.sum("bytes").alias("bytes"))
        return totals.select(sql.format_string('["%s",%d]\t[%d,%d]', "url", "status", "hits", "bytes"))

    def shuffle(self) -> DataFrame:
        lines = self.spark.read.text(self.inputs)
        pairs = lines.select(
            sql.substring("value", 1, KEY_LENGTH).alias("key"), sql.substring("value", 11, 90).alias("rest")
        )
        return pairs.repartition(PARTS, "key").sortWithinPartitions("key").select(sql.concat_ws("\t", "key", "rest"))

    def save(self, job: str, output: str) -> None:
        getattr(self, job)().write.text(output)


def as_line(pair: tuple[Any, Any]) -> str:
    return "\t".join(one if isinstance(one, str) else json.dumps(one, separators=(",", ":")) for one in pair)


def main() -> None:
    """Run one job."""
    way, job, output, *inputs = sys.argv[1:]
    spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    started = Rdd(spark, ",".join(inputs)) if way == "rdd" else Dataframe(spark, ",".join(inputs))
    started.save(job, output)
    spark.stop()


if __name__ == "__main__":
    main()
