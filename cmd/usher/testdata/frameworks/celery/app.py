import time

from celery import Celery

app = Celery("app", broker="filesystem://")
app.conf.broker_transport_options = {"data_folder_in": "queue", "data_folder_out": "queue"}


@app.task
def work():
    print("task started", flush=True)
    time.sleep(2)
    print("task finished", flush=True)
