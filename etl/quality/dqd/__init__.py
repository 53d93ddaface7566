"""OHDSI's Data Quality Dashboard (DQD): its checks as facts, each as a direct SQL, and all of them in few scans."""
