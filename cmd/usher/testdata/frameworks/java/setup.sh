javac Server.java
jar cfe app.jar Server *.class
