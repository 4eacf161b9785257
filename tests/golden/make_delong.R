#!/usr/bin/env Rscript
# AUROC, DeLong's variance, intervals and paired tests by pROC, as an oracle for src/stats/delong.cpp. Writes delong.json beside itself.
# usage: Rscript make_delong.R   (pROC 1.18)
suppressMessages(library(pROC))
set.seed(20240607)
number <- function(x) sprintf("%.17g", x)
numbers <- function(x) paste0("[", paste(number(x), collapse = ","), "]")

one_set <- function(k) {
  n <- c(8, 12, 20, 35, 60, 100)[k %% 6 + 1]
  share <- c(0.5, 0.2, 0.8, 0.35)[k %% 4 + 1]
  steps <- c(4, 10, 1000, 50)[(k %/% 6) %% 4 + 1]  # 4: many ties, 1000: hardly any
  positives <- min(max(2, round(n * share)), n - 2)
  labels <- sample(c(rep(1, positives), rep(0, n - positives)))
  shared <- rnorm(n)
  score <- function(effect) round(steps * pnorm((effect * labels + shared + rnorm(n)) / 2)) / steps
  a <- score(runif(1, 0, 2.5))
  b <- score(runif(1, 0, 2.5))
  level <- c(0.95, 0.9, 0.99)[k %% 3 + 1]
  roc_of <- function(scores) roc(labels, scores, levels = c(0, 1), direction = "<", quiet = TRUE)
  ra <- roc_of(a)
  rb <- roc_of(b)
  test <- roc.test(ra, rb, method = "delong", paired = TRUE, conf.level = level)
  ci_a <- ci.auc(ra, conf.level = level, method = "delong")
  paste0('{"labels":[', paste(labels, collapse = ","), '],"a":', numbers(a), ',"b":', numbers(b), ',"level":', number(level),
         ',"auc":', numbers(c(auc(ra), auc(rb))), ',"variance":', numbers(c(var(ra, method = "delong"), var(rb, method = "delong"))),
         ',"interval_a":', numbers(ci_a[c(1, 3)]), ',"z":', number(test$statistic), ',"p":', number(test$p.value),
         ',"interval":', numbers(test$conf.int), "}")
}

sets <- vapply(0:71, one_set, "")
here <- dirname(normalizePath(sub("--file=", "", grep("--file=", commandArgs(), value = TRUE))))
writeLines(c("[", paste(sets, collapse = ",\n"), "]"), file.path(here, "delong.json"))
